"""Architectures of transformers, from small configurations, with attention written out and fused."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import torch
import transformers
from torch import Tensor, nn

from tests.zoo.specimens import ROWS, Specimen, as_it_is

__all__ = ["SPECIMENS"]

_TOKENS: Final = 7
_VOCABULARY: Final = 50

Inputs = Callable[[], dict[str, Tensor]]


def _model(kind: str, config: dict[str, Any], attention: str | None) -> nn.Module:
    """The model of a class `kind`, from its own configuration class."""
    of_kind = getattr(transformers, kind)
    described = of_kind.config_class(**config)
    if attention is not None:
        described._attn_implementation = attention
    model: nn.Module = of_kind(described)
    return model


# --- inputs ----------------------------------------------------------------------------------------


def _text() -> dict[str, Tensor]:
    """Tokens, some of them padding at the end of the second row."""
    mask = torch.ones(ROWS, _TOKENS, dtype=torch.long)
    mask[1, -2:] = 0
    return {"input_ids": torch.randint(5, _VOCABULARY, (ROWS, _TOKENS)), "attention_mask": mask}


def _unpadded_text() -> dict[str, Tensor]:
    return {"input_ids": torch.randint(5, _VOCABULARY, (ROWS, _TOKENS))}


def _two_texts() -> dict[str, Tensor]:
    return {**_text(), "decoder_input_ids": torch.randint(5, _VOCABULARY, (ROWS, 4))}


def _images() -> dict[str, Tensor]:
    return {"pixel_values": torch.randn(ROWS, 3, 32, 32)}


def _waves() -> dict[str, Tensor]:
    return {"input_values": torch.randn(ROWS, 800)}


def _spectra_and_text() -> dict[str, Tensor]:
    return {
        "input_features": torch.randn(ROWS, 8, 20),
        "decoder_input_ids": torch.randint(5, _VOCABULARY, (ROWS, 4)),
    }


def _spectra() -> dict[str, Tensor]:
    return {"input_values": torch.randn(ROWS, 24, 16)}


# --- configurations --------------------------------------------------------------------------------

_LIKE_BERT: Final = {
    "vocab_size": _VOCABULARY,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.2,
    "classifier_dropout": 0.1,
    "pad_token_id": 1,
}
_LIKE_GPT2: Final = {
    "vocab_size": _VOCABULARY,
    "n_embd": 16,
    "n_layer": 2,
    "n_head": 2,
    "n_positions": 32,
    "resid_pdrop": 0.1,
    "embd_pdrop": 0.1,
    "attn_pdrop": 0.2,
    "pad_token_id": 1,
}
_LIKE_LLAMA: Final = {
    "vocab_size": _VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 4,
    "max_position_embeddings": 32,
    "attention_dropout": 0.2,
    "pad_token_id": 1,
}
_LIKE_BART: Final = {
    "vocab_size": _VOCABULARY,
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": 32,
    "dropout": 0.1,
    "attention_dropout": 0.2,
    "activation_dropout": 0.1,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
    "encoder_layerdrop": 0.0,
    "decoder_layerdrop": 0.0,
}
_LIKE_T5: Final = {
    "vocab_size": _VOCABULARY,
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 32,
    "num_layers": 2,
    "num_heads": 2,
    "dropout_rate": 0.1,
    "pad_token_id": 1,
    "decoder_start_token_id": 1,
}
_LIKE_VIT: Final = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.2,
}
_LIKE_SWIN: Final = {
    "image_size": 32,
    "patch_size": 4,
    "embed_dim": 8,
    "depths": [2, 2],
    "num_heads": [2, 2],
    "window_size": 4,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "drop_path_rate": 0.3,
}
_LIKE_WAV2VEC2: Final = {
    "vocab_size": _VOCABULARY,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (8, 8),
    "conv_kernel": (10, 3),
    "conv_stride": (5, 4),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "hidden_dropout": 0.1,
    "attention_dropout": 0.2,
    "activation_dropout": 0.1,
    "feat_proj_dropout": 0.1,
    "final_dropout": 0.1,
    "layerdrop": 0.0,
    "apply_spec_augment": False,
}


def _without_augmentation(model: nn.Module) -> None:
    """SpecAugment changes the data of training by draws of NumPy, and is no part of a prediction."""
    model.config.apply_spec_augment = False  # type: ignore[union-attr, unused-ignore]


def _specimens(
    kind: str,
    config: dict[str, Any],
    inputs: Inputs,
    *attentions: str | None,
    name: str = "",
    brute_force: Callable[[nn.Module], None] = as_it_is,
) -> list[Specimen]:
    """One specimen for each way of computing attention."""
    return [
        Specimen(
            "transformers",
            " ".join(part for part in (kind, name, attention) if part),
            partial(_model, kind, config, attention),
            inputs,
            brute_force,
        )
        for attention in attentions or (None,)
    ]


_BOTH: Final = ("eager", "sdpa")

SPECIMENS: Final = (
    # encoders
    *_specimens("BertForSequenceClassification", _LIKE_BERT, _text, *_BOTH),
    *_specimens("RobertaForSequenceClassification", _LIKE_BERT, _text, *_BOTH),
    *_specimens("ElectraForSequenceClassification", {**_LIKE_BERT, "embedding_size": 8}, _text, *_BOTH),
    *_specimens("AlbertForSequenceClassification", {**_LIKE_BERT, "embedding_size": 8}, _text, *_BOTH),
    *_specimens("CamembertForTokenClassification", _LIKE_BERT, _text, "sdpa"),
    *_specimens(
        "DistilBertForSequenceClassification",
        {
            "vocab_size": _VOCABULARY,
            "dim": 16,
            "n_layers": 2,
            "n_heads": 2,
            "hidden_dim": 32,
            "dropout": 0.1,
            "attention_dropout": 0.2,
            "seq_classif_dropout": 0.2,
            "pad_token_id": 1,
        },
        _text,
        *_BOTH,
    ),
    *_specimens(
        "DebertaV2ForSequenceClassification",
        {
            **_LIKE_BERT,
            "relative_attention": True,
            "position_buckets": 8,
            "norm_rel_ebd": "layer_norm",
            "pos_att_type": ["p2c", "c2p"],
            "share_att_key": True,
            "pooler_hidden_size": 16,
        },
        _text,
    ),
    *_specimens("MPNetForSequenceClassification", _LIKE_BERT, _text),
    *_specimens(
        "ModernBertForSequenceClassification",
        {
            **_LIKE_BERT,
            "embedding_dropout": 0.1,
            "mlp_dropout": 0.1,
            "attention_dropout": 0.2,
            "local_attention": 4,
            "cls_token_id": 2,
            "sep_token_id": 3,
            "bos_token_id": 2,
            "eos_token_id": 3,
        },
        _text,
        *_BOTH,
    ),
    *_specimens("RoFormerForSequenceClassification", {**_LIKE_BERT, "embedding_size": 16}, _text),
    *_specimens("FNetForSequenceClassification", _LIKE_BERT, _unpadded_text),
    *_specimens(
        "XLNetForSequenceClassification",
        {
            "vocab_size": _VOCABULARY,
            "d_model": 16,
            "n_layer": 2,
            "n_head": 2,
            "d_inner": 32,
            "dropout": 0.1,
            "summary_last_dropout": 0.1,
            "pad_token_id": 1,
        },
        _text,
    ),
    *_specimens(
        "FunnelForSequenceClassification",
        {
            "vocab_size": _VOCABULARY,
            "d_model": 16,
            "block_sizes": [1, 1],
            "n_head": 2,
            "d_head": 8,
            "d_inner": 32,
            "num_decoder_layers": 1,
            "hidden_dropout": 0.1,
            "attention_dropout": 0.1,
            "activation_dropout": 0.1,
            "pad_token_id": 1,
        },
        _text,
    ),
    *_specimens("LongformerForSequenceClassification", {**_LIKE_BERT, "attention_window": [4, 4]}, _text),
    *_specimens("BigBirdForSequenceClassification", {**_LIKE_BERT, "attention_type": "original_full"}, _text),
    *_specimens(
        "NystromformerForSequenceClassification",
        {**_LIKE_BERT, "num_landmarks": 7, "segment_means_seq_len": 7},
        _unpadded_text,
    ),
    *_specimens(
        "MobileBertForSequenceClassification",
        {**_LIKE_BERT, "embedding_size": 8, "true_hidden_size": 8, "intra_bottleneck_size": 8},
        _text,
    ),
    *_specimens(
        "XLMForSequenceClassification",
        {
            "vocab_size": _VOCABULARY,
            "emb_dim": 16,
            "n_layers": 2,
            "n_heads": 2,
            "dropout": 0.1,
            "attention_dropout": 0.2,
            "pad_index": 1,
        },
        _text,
    ),
    *_specimens(
        "CanineForSequenceClassification",
        {
            **_LIKE_BERT,
            "num_hash_buckets": 32,
            "num_hash_functions": 2,
            "downsampling_rate": 2,
            "local_transformer_stride": 4,
        },
        lambda: {"input_ids": torch.randint(5, 50, (ROWS, 8))},
    ),
    # decoders
    *_specimens("GPT2LMHeadModel", _LIKE_GPT2, _text, *_BOTH),
    *_specimens("GPT2ForSequenceClassification", _LIKE_GPT2, _unpadded_text, "sdpa"),
    *_specimens("OpenAIGPTLMHeadModel", _LIKE_GPT2, _text),
    *_specimens(
        "GPTNeoForCausalLM",
        {
            "vocab_size": _VOCABULARY,
            "hidden_size": 16,
            "num_layers": 2,
            "num_heads": 2,
            "max_position_embeddings": 32,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 4,
            "embed_dropout": 0.1,
            "resid_dropout": 0.1,
            "attention_dropout": 0.2,
        },
        _text,
        "eager",
    ),
    *_specimens(
        "GPTNeoXForCausalLM", {**_LIKE_BERT, "attention_dropout": 0.2, "hidden_dropout": 0.1}, _text, *_BOTH
    ),
    *_specimens(
        "OPTForCausalLM",
        {
            **_LIKE_BART,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "ffn_dim": 32,
            "word_embed_proj_dim": 16,
        },
        _text,
        *_BOTH,
    ),
    *_specimens(
        "BloomForCausalLM",
        {
            "vocab_size": _VOCABULARY,
            "hidden_size": 16,
            "n_layer": 2,
            "n_head": 2,
            "hidden_dropout": 0.1,
            "attention_dropout": 0.2,
            "pad_token_id": 1,
        },
        _text,
    ),
    *_specimens(
        "FalconForCausalLM",
        {
            "vocab_size": _VOCABULARY,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "attention_dropout": 0.1,
            "hidden_dropout": 0.1,
            "alibi": True,
            "pad_token_id": 1,
        },
        _text,
    ),
    *_specimens("CodeGenForCausalLM", {**_LIKE_GPT2, "rotary_dim": 4, "n_head": 4}, _text),
    *_specimens("LlamaForCausalLM", _LIKE_LLAMA, _text, *_BOTH),
    *_specimens("LlamaForSequenceClassification", _LIKE_LLAMA, _unpadded_text, "sdpa"),
    *_specimens("MistralForCausalLM", {**_LIKE_LLAMA, "sliding_window": 4}, _text, *_BOTH),
    *_specimens("Qwen2ForCausalLM", _LIKE_LLAMA, _text, *_BOTH),
    *_specimens("Qwen3ForCausalLM", _LIKE_LLAMA, _text, "sdpa"),
    *_specimens("GemmaForCausalLM", _LIKE_LLAMA, _text, "sdpa"),
    *_specimens("PhiForCausalLM", {**_LIKE_LLAMA, "resid_pdrop": 0.1, "embd_pdrop": 0.1}, _text, "sdpa"),
    *_specimens(
        "MixtralForCausalLM", {**_LIKE_LLAMA, "num_local_experts": 2, "num_experts_per_tok": 1}, _text, "sdpa"
    ),
    # encoder-decoders
    *_specimens("T5ForConditionalGeneration", _LIKE_T5, _two_texts),
    *_specimens("MT5ForConditionalGeneration", {**_LIKE_T5, "feed_forward_proj": "gated-gelu"}, _two_texts),
    *_specimens("BartForConditionalGeneration", _LIKE_BART, _two_texts, *_BOTH),
    *_specimens(
        "BartForConditionalGeneration",
        {**_LIKE_BART, "encoder_layerdrop": 0.2, "decoder_layerdrop": 0.2},
        _two_texts,
        "sdpa",
        name="LayerDrop",
    ),
    *_specimens("MBartForConditionalGeneration", _LIKE_BART, _two_texts, *_BOTH),
    *_specimens("PegasusForConditionalGeneration", _LIKE_BART, _two_texts, "sdpa"),
    *_specimens("MarianMTModel", _LIKE_BART, _two_texts, "sdpa"),
    *_specimens("BlenderbotForConditionalGeneration", _LIKE_BART, _two_texts, "sdpa"),
    *_specimens("M2M100ForConditionalGeneration", _LIKE_BART, _two_texts, "sdpa"),
    *_specimens(
        "SwitchTransformersForConditionalGeneration",
        {**_LIKE_T5, "num_experts": 2, "num_sparse_encoder_layers": 1, "num_sparse_decoder_layers": 1},
        _two_texts,
    ),
    # vision
    *_specimens("ViTForImageClassification", _LIKE_VIT, _images, *_BOTH),
    *_specimens("DeiTForImageClassification", _LIKE_VIT, _images, *_BOTH),
    *_specimens("BeitForImageClassification", {**_LIKE_VIT, "drop_path_rate": 0.2}, _images, *_BOTH),
    *_specimens(
        "Dinov2ForImageClassification", {**_LIKE_VIT, "mlp_ratio": 2, "drop_path_rate": 0.2}, _images, *_BOTH
    ),
    *_specimens("SwinForImageClassification", _LIKE_SWIN, _images),
    *_specimens("Swinv2ForImageClassification", _LIKE_SWIN, _images),
    *_specimens(
        "ConvNextForImageClassification",
        {"depths": [1, 1], "hidden_sizes": [8, 16], "num_stages": 2, "drop_path_rate": 0.4},
        _images,
    ),
    *_specimens(
        "ConvNextV2ForImageClassification",
        {"depths": [1, 1], "hidden_sizes": [8, 16], "num_stages": 2, "drop_path_rate": 0.4},
        _images,
    ),
    *_specimens(
        "SegformerForImageClassification",
        {
            "depths": [1, 1],
            "hidden_sizes": [8, 16],
            "num_encoder_blocks": 2,
            "num_attention_heads": [1, 2],
            "sr_ratios": [2, 1],
            "patch_sizes": [7, 3],
            "strides": [4, 2],
            "mlp_ratios": [2, 2],
            "hidden_dropout_prob": 0.1,
            "attention_probs_dropout_prob": 0.1,
            "classifier_dropout_prob": 0.1,
            "drop_path_rate": 0.3,
        },
        _images,
    ),
    *_specimens(
        "PvtForImageClassification",
        {
            "image_size": 32,
            "depths": [1, 1],
            "hidden_sizes": [8, 16],
            "num_encoder_blocks": 2,
            "num_attention_heads": [1, 2],
            "sequence_reduction_ratios": [2, 1],
            "patch_sizes": [4, 2],
            "strides": [4, 2],
            "mlp_ratios": [2, 2],
            "hidden_dropout_prob": 0.1,
            "attention_probs_dropout_prob": 0.1,
        },
        _images,
    ),
    *_specimens("CLIPVisionModel", {**_LIKE_VIT, "attention_dropout": 0.2}, _images, *_BOTH),
    *_specimens("ViTMAEModel", _LIKE_VIT, _images, "sdpa"),
    # audio
    *_specimens("Wav2Vec2ForCTC", _LIKE_WAV2VEC2, _waves, *_BOTH),
    *_specimens("Wav2Vec2ForCTC", {**_LIKE_WAV2VEC2, "layerdrop": 0.3}, _waves, "sdpa", name="LayerDrop"),
    *_specimens(
        "Wav2Vec2ForCTC",
        {**_LIKE_WAV2VEC2, "apply_spec_augment": True, "mask_time_prob": 0.3, "mask_time_length": 2},
        _waves,
        "sdpa",
        name="SpecAugment",
        brute_force=_without_augmentation,
    ),
    *_specimens("HubertForCTC", _LIKE_WAV2VEC2, _waves, *_BOTH),
    *_specimens("WavLMForCTC", _LIKE_WAV2VEC2, _waves),
    *_specimens(
        "WhisperForConditionalGeneration",
        {**_LIKE_BART, "num_mel_bins": 8, "max_source_positions": 10, "max_target_positions": 16},
        _spectra_and_text,
        *_BOTH,
    ),
    *_specimens(
        "ASTForAudioClassification",
        {**_LIKE_VIT, "max_length": 24, "num_mel_bins": 16, "frequency_stride": 8, "time_stride": 8},
        _spectra,
        *_BOTH,
    ),
)

"""Architectures of timm, on images of 32 to 64 pixels."""

from functools import partial
from typing import Any, Final

import timm
import torch
from torch import Tensor, nn

from tests.zoo.specimens import ROWS, Specimen

__all__ = ["SPECIMENS"]

_CLASSES: Final = 5


def _images(size: int) -> dict[str, Tensor]:
    return {"x": torch.randn(ROWS, 3, size, size)}


def _model(name: str, options: dict[str, Any]) -> nn.Module:
    model: nn.Module = timm.create_model(name, num_classes=_CLASSES, **options)
    return model


def _specimen(name: str, size: int = 32, **options: Any) -> Specimen:
    return Specimen(
        "timm", name, partial(_model, name, {"drop_rate": 0.2, **options}), partial(_images, size)
    )


def _small_vit(name: str, **options: Any) -> Specimen:
    """Two blocks, 24 wide, on 4 x 4 patches."""
    small = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3}
    return _specimen(name, **{**small, "drop_path_rate": 0.3, **options})


def _of_class(name: str, size: int = 32, **options: Any) -> Specimen:
    """A class of timm.models, whose named variants fix too much to be made small."""
    made = partial(getattr(timm.models, name), num_classes=_CLASSES, drop_rate=0.2, **options)
    return Specimen("timm", name, made, partial(_images, size))


SPECIMENS: Final = (
    _small_vit("vit_tiny_patch16_224", proj_drop_rate=0.1, attn_drop_rate=0.1, pos_drop_rate=0.1),
    _small_vit("vit_small_patch16_224", patch_drop_rate=0.25),
    _small_vit("deit_tiny_distilled_patch16_224", attn_drop_rate=0.1),
    _small_vit("beit_base_patch16_224", attn_drop_rate=0.1),
    _small_vit("eva02_tiny_patch14_224", attn_drop_rate=0.1),
    _small_vit("cait_xxs24_224", attn_drop_rate=0.1),
    _small_vit("xcit_nano_12_p16_224", patch_size=16, attn_drop_rate=0.1),
    _specimen(
        "swin_tiny_patch4_window7_224",
        32,
        img_size=32,
        window_size=4,
        embed_dim=12,
        depths=(2, 2),
        num_heads=(2, 4),
        attn_drop_rate=0.1,
        drop_path_rate=0.3,
    ),
    _specimen(
        "swinv2_tiny_window8_256",
        32,
        img_size=32,
        window_size=4,
        embed_dim=12,
        depths=(2, 2),
        num_heads=(2, 4),
        attn_drop_rate=0.1,
        drop_path_rate=0.3,
    ),
    _specimen(
        "swinv2_cr_tiny_224",
        32,
        img_size=32,
        window_size=4,
        embed_dim=12,
        depths=(2, 2),
        num_heads=(2, 4),
        attn_drop_rate=0.1,
        drop_path_rate=0.3,
    ),
    _specimen("convnext_atto", depths=(1, 1, 1, 1), dims=(8, 8, 16, 16), drop_path_rate=0.4),
    _specimen("convnextv2_atto", depths=(1, 1, 1, 1), dims=(8, 8, 16, 16), drop_path_rate=0.4),
    _specimen("efficientnet_lite0", drop_path_rate=0.3),
    _specimen("tf_efficientnetv2_b0", drop_path_rate=0.3),
    _specimen("mobilenetv3_small_050"),
    _specimen("mobilenetv4_conv_small_050"),
    _specimen("tinynet_e", drop_path_rate=0.3),
    _specimen("ghostnet_050"),
    _specimen("resnet18", 64, drop_path_rate=0.3),
    _specimen("resnet10t", 64, drop_block_rate=0.2),
    _specimen("resnet14t", 64, drop_path_rate=0.3),
    _specimen("regnety_002", 64, drop_path_rate=0.3),
    _specimen("densenet121", block_config=(2, 2, 2), growth_rate=8, proj_drop_rate=0.1),
    _specimen("rexnetr_100", drop_path_rate=0.3),
    _specimen("pvt_v2_b0", 64, depths=(1, 1, 1, 1), drop_path_rate=0.3, attn_drop_rate=0.1),
    _specimen(
        "twins_pcpvt_small", 64, img_size=64, depths=(1, 1, 1, 1), drop_path_rate=0.3, attn_drop_rate=0.1
    ),
    _specimen("edgenext_xx_small", 64, drop_path_rate=0.3),
    _specimen("mobilevit_xxs", 64, drop_path_rate=0.3),
    _specimen("crossvit_tiny_240", 240, depth=((1, 1, 0),), drop_path_rate=0.3),
    _specimen(
        "tnt_s_patch16_224",
        img_size=32,
        embed_dim=24,
        inner_dim=8,
        depth=2,
        num_heads_outer=2,
        num_heads_inner=2,
        drop_path_rate=0.3,
    ),
    _specimen("pit_ti_224", 64, img_size=64, drop_path_rate=0.3),
    _specimen(
        "sequencer2d_s",
        64,
        layers=(1, 1, 1, 1),
        embed_dims=(16, 16, 16, 16),
        hidden_sizes=(8, 8, 8, 8),
        img_size=64,
        drop_path_rate=0.3,
    ),
    _specimen("fastvit_t8", 64, layers=(1, 1, 1, 1), drop_path_rate=0.3),
    _specimen("inception_next_atto", 64, drop_path_rate=0.3),
    _specimen("hrnet_w18_small", 64),
    _specimen(
        "vit_base_patch16_rope_reg1_gap_256",
        img_size=32,
        patch_size=8,
        embed_dim=24,
        depth=2,
        num_heads=3,
        drop_path_rate=0.3,
        attn_drop_rate=0.1,
    ),
    _of_class(
        "MlpMixer",
        img_size=32,
        patch_size=8,
        embed_dim=16,
        num_blocks=2,
        drop_path_rate=0.3,
        proj_drop_rate=0.1,
    ),
    _of_class("ConvMixer", dim=16, depth=2, patch_size=4),
    _of_class("MetaFormer", depths=(1, 1), dims=(8, 16), drop_path_rate=0.3, proj_drop_rate=0.1),
    _of_class(
        "VOLO",
        64,
        img_size=64,
        layers=(1, 1, 1, 1),
        embed_dims=(24, 24, 24, 24),
        num_heads=(2, 2, 2, 2),
        drop_path_rate=0.3,
    ),
    _of_class(
        "Nest",
        64,
        img_size=64,
        embed_dims=(8, 8, 16),
        num_heads=(1, 2, 2),
        depths=(1, 1, 1),
        drop_path_rate=0.3,
    ),
    _of_class("DaVit", depths=(1, 1), embed_dims=(8, 16), num_heads=(1, 2), drop_path_rate=0.3),
    _of_class("FocalNet", depths=(1, 1), embed_dim=8, drop_path_rate=0.3),
    _of_class(
        "Hiera", 64, img_size=(64, 64), embed_dim=8, stages=(1, 1), num_heads=1, q_pool=1, drop_path_rate=0.3
    ),
)

"""Architectures of torchvision, on images of 32 to 96 pixels."""

from collections.abc import Callable
from functools import partial
from typing import Final

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.convnext import CNBlockConfig

from tests.zoo.specimens import ROWS, Specimen

__all__ = ["SPECIMENS"]

_CLASSES: Final = 5

Factory = Callable[..., nn.Module]


def _images(size: int, name: str = "x") -> dict[str, Tensor]:
    return {name: torch.randn(ROWS, 3, size, size)}


def _videos(frames: int, size: int) -> dict[str, Tensor]:
    return {"x": torch.randn(ROWS, 3, frames, size, size)}


def _image_model(name: str, factory: Factory, size: int = 32, **options: object) -> Specimen:
    return Specimen(
        "torchvision",
        name,
        partial(factory, **{"num_classes": _CLASSES, **options}),
        partial(_images, size),
    )


def _segmenting(name: str, factory: Factory, name_of_input: str = "x") -> Specimen:
    make = partial(factory, weights=None, weights_backbone=None, num_classes=_CLASSES)
    return Specimen("torchvision", name, make, partial(_images, 32, name_of_input))


def _convnext() -> nn.Module:
    blocks = [CNBlockConfig(8, 16, 2), CNBlockConfig(16, 32, 2), CNBlockConfig(32, None, 2)]
    model: nn.Module = models.ConvNeXt(blocks, stochastic_depth_prob=0.4, num_classes=_CLASSES)
    return model


def _swin(**options: object) -> nn.Module:
    model: nn.Module = models.SwinTransformer(
        patch_size=[4, 4],
        embed_dim=16,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=[4, 4],
        dropout=0.1,
        attention_dropout=0.1,
        stochastic_depth_prob=0.3,
        num_classes=_CLASSES,
        **options,
    )
    return model


def _swin_v2() -> nn.Module:
    model: nn.Module = _swin(
        block=models.swin_transformer.SwinTransformerBlockV2,
        downsample_layer=models.swin_transformer.PatchMergingV2,
    )
    return model


def _swin_3d() -> nn.Module:
    model: nn.Module = models.video.SwinTransformer3d(
        patch_size=[2, 4, 4],
        embed_dim=16,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=[2, 4, 4],
        dropout=0.1,
        attention_dropout=0.1,
        stochastic_depth_prob=0.3,
        num_classes=_CLASSES,
    )
    return model


def _vit() -> nn.Module:
    model: nn.Module = models.VisionTransformer(
        image_size=32,
        patch_size=8,
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        mlp_dim=32,
        dropout=0.1,
        attention_dropout=0.2,
        num_classes=_CLASSES,
    )
    return model


def _maxvit() -> nn.Module:
    model: nn.Module = models.MaxVit(
        input_size=(32, 32),
        stem_channels=8,
        partition_size=4,
        block_channels=[8, 16],
        block_layers=[2, 2],
        head_dim=4,
        stochastic_depth_prob=0.4,
        attention_dropout=0.1,
        mlp_dropout=0.1,
        num_classes=_CLASSES,
    )
    return model


def _mvit() -> nn.Module:
    config = models.video.mvit.MSBlockConfig
    blocks = [
        config(1, 8, 8, [3, 3, 3], [3, 3, 3], [1, 1, 1], [1, 2, 2]),
        config(2, 8, 16, [3, 3, 3], [3, 3, 3], [1, 2, 2], [1, 1, 1]),
    ]
    model: nn.Module = models.video.MViT(
        (16, 16),
        4,
        blocks,
        residual_pool=True,
        residual_with_cls_embed=False,
        rel_pos_embed=True,
        proj_after_attn=True,
        dropout=0.3,
        attention_dropout=0.1,
        stochastic_depth_prob=0.3,
        num_classes=_CLASSES,
    )
    return model


def _video(name: str, factory: Factory, frames: int, size: int) -> Specimen:
    return Specimen("torchvision", name, factory, partial(_videos, frames, size))


SPECIMENS: Final = (
    _image_model("alexnet", models.alexnet, 64),
    _image_model("vgg11", models.vgg11),
    _image_model("vgg11_bn", models.vgg11_bn),
    _image_model("squeezenet1_0", models.squeezenet1_0),
    _image_model("squeezenet1_1", models.squeezenet1_1),
    _image_model("densenet121", models.densenet121, drop_rate=0.2),
    _image_model("densenet169", models.densenet169, drop_rate=0.1, memory_efficient=True),
    _image_model("googlenet", models.googlenet, aux_logits=True, init_weights=False),
    _image_model("inception_v3", models.inception_v3, 80, aux_logits=False, init_weights=False),
    _image_model("mobilenet_v2", models.mobilenet_v2),
    _image_model("mobilenet_v3_small", models.mobilenet_v3_small),
    _image_model("mobilenet_v3_large", models.mobilenet_v3_large),
    _image_model("mnasnet0_5", models.mnasnet0_5),
    _image_model("mnasnet1_0", models.mnasnet1_0),
    _image_model("efficientnet_b0", models.efficientnet_b0),
    _image_model("efficientnet_b1", models.efficientnet_b1),
    _image_model("efficientnet_v2_s", models.efficientnet_v2_s),
    Specimen("torchvision", "convnext", _convnext, partial(_images, 32)),
    Specimen("torchvision", "swin", _swin, partial(_images, 32)),
    Specimen("torchvision", "swin_v2", _swin_v2, partial(_images, 32)),
    Specimen("torchvision", "vit", _vit, partial(_images, 32)),
    Specimen("torchvision", "maxvit", _maxvit, partial(_images, 32)),
    _video("mvit", _mvit, 4, 16),
    _video("swin3d", _swin_3d, 4, 16),
    _segmenting("fcn_resnet50", models.segmentation.fcn_resnet50),
    _segmenting("deeplabv3_mobilenet_v3_large", models.segmentation.deeplabv3_mobilenet_v3_large),
    _segmenting("lraspp_mobilenet_v3_large", models.segmentation.lraspp_mobilenet_v3_large, "input"),
    _image_model("resnet18", models.resnet18),
    _image_model("shufflenet_v2_x0_5", models.shufflenet_v2_x0_5),
)

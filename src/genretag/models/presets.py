"""The table of presets: every architecture with its features, its recipe and what its authors got. Data only.

A new preset is a new row; a new family is a new module beside this one whose network takes
`(labels, shape, **config)`, where shape is that of one window of features, and whose output is logits
(windows, labels). Networks that hold a `standardise` layer have it measured on the training set.
"""

from __future__ import annotations

from dataclasses import replace

from genretag.models.fitted_presets import FITTED_PRESETS
from genretag.models.ingredients import (
    CHROMA_10S,
    DROPOUTS,
    FMA_REPORT,
    FMA_STATISTICS,
    GTZAN_REPORT,
    IMAGENET_LICENCE,
    KOSTRZEWA_RECIPE,
    KOSTRZEWA_SEARCH,
    LEARNING_RATES,
    LOGMEL_CLIP,
    MFCC_3S,
    MFCC_CLIP,
    MUSICNN_FEATURES,
    MUSICNN_PAPER,
    MUSICNN_RECIPE,
    MUSICNN_SEARCH,
    RECURRENT_SEARCH,
    RESNET_RECIPE,
    RESNET_SEARCH,
    SEGMENT_RECIPE,
    SHORT_CHUNK_FEATURES,
    STARTS,
    TORCHVISION,
    VGGISH_FEATURES,
    VGGISH_REPORT,
    WAVEFORM_3S,
    WAVENET_REPORT,
    fma_small,
    magnatagatune,
    random_songs,
    segments,
)
from genretag.models.records import Choice, LogRange, Preset, Pretrained, Published, Range, Recipe

RESNET18 = Preset(
    name="resnet18",
    summary="a picture network over 30 s of 13 MFCC as an image",
    network="resnet:Resnet18",
    features=MFCC_CLIP,
    config={"size": 128},
    recipe=RESNET_RECIPE,
    source=GTZAN_REPORT,
    starts=STARTS,
    pretrained=Pretrained(
        "torchvision resnet18",
        f"{TORCHVISION}/resnet18-f37072fd.pth",
        IMAGENET_LICENCE,
        fresh=("fc", "standardise"),
    ),
    published=(
        Published(
            0.80,
            "accuracy",
            "GTZAN",
            "random clips",
            leak_free=False,
            tracks_apart=True,
            artists_apart=False,
            note="the best epoch on the 100 clips that it was chosen by, from ImageNet's weights",
        ),
    ),
    search=RESNET_SEARCH,
)

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            name="musicnn",
            summary="convolutions shaped like timbre and tempo over 3 s of log-mel",
            network="musicnn:Musicnn",
            features=MUSICNN_FEATURES,
            config={
                "timbral_filters": 204,
                "temporal_filters": 51,
                "mid_filters": 64,
                "dense_units": 200,
                "dropout": 0.5,
            },
            recipe=MUSICNN_RECIPE,
            source=MUSICNN_PAPER,
            starts=STARTS,
            pretrained=Pretrained("musicnn-msd", "weights:musicnn-msd", "ISC", fresh=("output",)),
            published=magnatagatune(0.9067, 0.3831),
            search=MUSICNN_SEARCH,
        ),
        Preset(
            name="vgg",
            summary="five 3x3 convolutions over 3 s of log-mel",
            network="vgg:Vgg",
            features=MUSICNN_FEATURES,
            config={"filters": 128, "conv_dropout": 0.25, "dropout": 0.5},
            recipe=MUSICNN_RECIPE,
            source=MUSICNN_PAPER,
            starts=STARTS,
            pretrained=Pretrained("vgg-msd", "weights:vgg-msd", "ISC", fresh=("output",)),
            published=magnatagatune(0.9030, 0.3823),
            search={**MUSICNN_SEARCH, "filters": Range(32, 256, 32)},
        ),
        Preset(
            name="mlp",
            summary="four dense layers over 3 s of 13 MFCC, flattened",
            network="mlp:Mlp",
            features=MFCC_3S,
            config={"hidden": [512, 256, 64], "dropout": 0.3},
            recipe=replace(
                SEGMENT_RECIPE, learning_rate=1e-4, epochs=669, schedule="constant", schedule_options={}
            ),
            source=GTZAN_REPORT,
            published=segments(0.571),
            search={
                "hidden.0": Range(128, 1024, 128),
                "hidden.1": Range(64, 512, 64),
                "dropout": DROPOUTS,
                "learning_rate": LEARNING_RATES,
            },
        ),
        Preset(
            name="cnn",
            summary="four convolutions over 3 s of 13 MFCC as an image",
            network="cnn:Cnn",
            features=MFCC_3S,
            config={"filters": [256, 256, 256, 512], "dense": [256, 128], "dropout": 0.2},
            recipe=replace(SEGMENT_RECIPE, optimiser="adam", epochs=154),
            source=GTZAN_REPORT,
            published=segments(0.813),
            search={
                **{f"filters.{layer}": Range(32, 256, 32) for layer in range(4)},
                "dropout": DROPOUTS,
                "learning_rate": LEARNING_RATES,
            },
        ),
        Preset(
            name="lstm",
            summary="two layers of LSTM over 3 s of 13 MFCC",
            network="recurrent:Recurrent",
            features=MFCC_3S,
            config={"cell": "lstm", "hidden": 256, "layers": 2, "bidirectional": False, "dropout": 0.2},
            recipe=SEGMENT_RECIPE,
            source=GTZAN_REPORT,
            published=segments(0.888),
            search=RECURRENT_SEARCH,
        ),
        Preset(
            name="bilstm",
            summary="two layers of LSTM that read 3 s of 13 MFCC in both directions",
            network="recurrent:Recurrent",
            features=MFCC_3S,
            config={"cell": "lstm", "hidden": 256, "layers": 2, "bidirectional": True, "dropout": 0.2},
            recipe=replace(SEGMENT_RECIPE, epochs=90),
            source=GTZAN_REPORT,
            published=segments(0.860),
            search=RECURRENT_SEARCH,
        ),
        Preset(
            name="gru",
            summary="two layers of GRU over 3 s of 13 MFCC",
            network="recurrent:Recurrent",
            features=MFCC_3S,
            config={"cell": "gru", "hidden": 256, "layers": 2, "bidirectional": False, "dropout": 0.2},
            recipe=replace(SEGMENT_RECIPE, epochs=68),
            source=GTZAN_REPORT,
            published=segments(0.907),
            search=RECURRENT_SEARCH,
        ),
        RESNET18,
        replace(
            RESNET18,
            name="resnet18-chroma",
            summary="a picture network over 10 s of chroma as an image",
            features=CHROMA_10S,
            published=(),
        ),
        Preset(
            name="wavenet",
            summary="six dilated convolutions over 3 s of raw samples, majority vote over windows",
            network="wavenet:Wavenet",
            features=WAVEFORM_3S,
            config={"filters": [128, 128, 64, 64, 32, 32], "kernels": [9, 9, 9, 9, 9, 7], "dropout": 0.25},
            recipe=Recipe(optimiser="adam", learning_rate=1e-3, batch_size=32, epochs=22),
            source=WAVENET_REPORT,
            published=(
                random_songs(0.745, "by song, majority vote"),
                random_songs(0.701, "by 3 s window"),
            ),
            search={
                **{f"filters.{layer}": Range(8, 256, 8) for layer in range(6)},
                "dropout": Choice((0.0, 0.1, 0.2, 0.25, 0.3)),
                "batch_size": Choice((16, 32, 64)),
                "learning_rate": LEARNING_RATES,
            },
        ),
        Preset(
            name="handcrafted",
            summary="two dense layers over 518 statistics of a clip, or over any table of features",
            network="mlp:Mlp",
            features=FMA_STATISTICS,
            config={"hidden": [512, 256], "dropout": 0.0},
            # Keras's l2(0.02), whose gradient is twice that.
            recipe=Recipe(
                optimiser="adam", learning_rate=1e-4, batch_size=32, epochs=200, weight_decay=0.04, patience=5
            ),
            source=FMA_REPORT,
            published=(fma_small(0.495),),
            search={
                "hidden.0": Choice((64, 128, 256, 512)),
                "hidden.1": Choice((64, 256, 512)),
                "dropout": Choice((0.0, 0.2, 0.5)),
                "weight_decay": LogRange(1e-4, 1e-1),
                "learning_rate": LEARNING_RATES,
            },
        ),
        Preset(
            name="kostrzewa",
            summary="four unpadded 5x5 convolutions over 30 s of log-mel as a square image",
            network="kostrzewa:Kostrzewa",
            features=LOGMEL_CLIP,
            config={"filters": [64, 64, 128, 128], "kernel": 5, "size": 128, "dropout": 0.2},
            recipe=KOSTRZEWA_RECIPE,
            source=f"Kostrzewa, Kaminski and Brzeski 2021, as in {FMA_REPORT}",
            published=(
                fma_small(0.3975, "without augmentation; 0.3225 with it"),
                fma_small(0.5163, "in the paper of 2021"),
            ),
            search=KOSTRZEWA_SEARCH,
        ),
        Preset(
            name="kostrzewa-tuned",
            summary="kostrzewa with the sizes that Hyperband found",
            network="kostrzewa:Kostrzewa",
            features=LOGMEL_CLIP,
            config={"filters": [32, 128, 192, 98], "kernel": 6, "size": 128, "dropout": 0.25},
            recipe=KOSTRZEWA_RECIPE,
            source=FMA_REPORT,
            published=(fma_small(0.39, "without augmentation; 0.3787 with it and other sizes"),),
            search=KOSTRZEWA_SEARCH,
        ),
        Preset(
            name="vggish",
            summary="six convolutions over 1 s of log-mel, pooled, with dense layers on top",
            network="vggish:Vggish",
            features=VGGISH_FEATURES,
            config={"pooling": "average", "blocks": 2, "units": 512, "dropout": 0.5},
            recipe=Recipe(optimiser="adam", learning_rate=1e-3, batch_size=32, epochs=12),
            source=VGGISH_REPORT,
            starts=STARTS,
            pretrained=Pretrained(
                "torchvggish",
                "url:https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth",
                "Apache-2.0, trained on AudioSet",
                fresh=("pool", "blocks", "output"),
            ),
            published=(
                Published(
                    0.9818,
                    "accuracy",
                    "MagnaTagATune",
                    "random clips",
                    leak_free=False,
                    tracks_apart=False,
                    artists_apart=False,
                    note="over all 188 tags, fine-tuned; saying no to every tag gives 0.9816",
                ),
            ),
            search={
                "pooling": Choice(("average", "autopool")),
                "blocks": Range(2, 3),
                "dropout": DROPOUTS,
                "learning_rate": LEARNING_RATES,
            },
        ),
        Preset(
            name="short-chunk-resnet",
            summary="seven residual blocks over 3.7 s of log-mel",
            network="short_chunk:ShortChunkResnet",
            features=SHORT_CHUNK_FEATURES,
            config={"filters": 128, "dropout": 0.5},
            recipe=Recipe(
                optimiser="adam",
                learning_rate=1e-4,
                batch_size=16,
                epochs=200,
                weight_decay=1e-4,
                patience=20,
            ),
            source="Won, Ferraro, Bogdanov and Serra 2020, https://arxiv.org/abs/2006.00751",
            published=magnatagatune(0.9129, 0.4614),
            search={
                "filters": Range(32, 128, 32),
                "dropout": DROPOUTS,
                "learning_rate": LogRange(1e-5, 1e-3),
            },
        ),
        *FITTED_PRESETS,
    )
}

_PROBE = PRESETS["probe"]
# Architectures that are put together from trained ones: checkpoints name them, nothing trains them.
COMPOSED: dict[str, Preset] = {
    "two-level": replace(
        _PROBE,
        name="two-level",
        summary="broad genres by a probe, and all that its base says beside them",
        network="two_level:TwoLevel",
        features=replace(MUSICNN_FEATURES, level=_PROBE.features.level, version=_PROBE.features.version),
        config={
            **_PROBE.config,
            "broad": 10,
            "temperature": 1.0,
            "vetoes": 0,
            "familiar": False,
            "references": 0,
            "nearest": 5,
            "steepness": 8.0,
            "fallback": None,
        },
        search={},
    )
}

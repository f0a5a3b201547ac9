"""Packaging of wandb-ng.  Development: see CONTRIBUTING.md."""

import re
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "wandb" / "version.py").read_text()).group(1)

EXTRAS = {
    # The local server: an ASGI application, its web server, its database and a GraphQL engine.
    "server": ["starlette>=0.36", "uvicorn>=0.23", "sqlalchemy>=2.0", "graphql-core>=3.2,<4"],
    # GPU-less system metrics beyond what /proc gives (macOS, Windows, per-process detail).
    "metrics": ["psutil>=5.9"],
    # Arrays and pictures: wandb.Image, wandb.Histogram, and points in space.
    "media": ["numpy>=1.20", "pillow>=9"],
    # wandb.Audio of samples: soundfile writes the WAV files.
    "audio": ["numpy>=1.20", "soundfile>=0.10"],
    # wandb.Video of frames: imageio writes GIFs, and ffmpeg, which imageio-ffmpeg brings, the rest.
    "video": ["numpy>=1.20", "pillow>=9", "imageio>=2.28", "imageio-ffmpeg>=0.4"],
    # Figures: plotly's own, matplotlib's redrawn by plotly, and Bokeh's.
    "figures": ["plotly>=5", "matplotlib>=3.5", "bokeh>=2.4"],
    # wandb.Molecule of SMILES and of RDKit's molecules.
    "molecule": ["rdkit"],
    # wandb.Table as a DataFrame.
    "tables": ["pandas>=1.3"],
    # wandb.plot.roc_curve and pr_curve: scikit-learn computes them.
    "plot": ["scikit-learn>=1.0"],
    # `wandb export --to parquet`: the format's own library.
    "parquet": ["pyarrow>=10"],
    # `wandb export --to tensorboard`: event files without TensorBoard itself, or TensorFlow.
    "tensorboard": ["tensorboardX>=2.5"],
    # Artifacts: references to objects in buckets, each with the service's own library.
    "aws": ["boto3>=1.20"],
    "gcp": ["google-cloud-storage>=2"],
    "azure": ["azure-storage-blob>=12", "azure-identity>=1.6"],
    # Artifacts with digest_algorithm="XXH128".
    "xxhash": ["xxhash>=3"],
    # wandb.watch: hooks in PyTorch's models.
    "pytorch": ["torch>=1.11"],
    # The callbacks of wandb.integration.keras: classes of Keras 3.
    "keras": ["keras>=3.0"],
    # `config-defaults.yaml`, `WANDB_CONFIG_PATHS` and sweep files are YAML.
    "yaml": ["PyYAML>=5.4"],
}
# What weighs hundreds of megabytes, and only some need, is not part of "all".
HEAVY = ("aws", "azure", "figures", "gcp", "keras", "molecule", "plot", "pytorch", "tables", "video")
EXTRAS["all"] = sorted({one for extra in EXTRAS if extra not in HEAVY for one in EXTRAS[extra]})

# What we are to a library that asks the metadata whether wandb is installed, and which (decision 0031).
STAND_IN = """\
Metadata-Version: 2.1
Name: wandb
Version: 0.31.0
Summary: Stands for the package wandb, whose place wandb-ng takes
"""


class BuildWithStandIn(build_py):
    """Adds the metadata of a package `wandb` to the modules."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            metadata = Path(self.build_lib) / "wandb.egg-info" / "PKG-INFO"
            metadata.parent.mkdir(parents=True, exist_ok=True)
            metadata.write_text(STAND_IN, encoding="utf-8")


setup(
    cmdclass={"build_py": BuildWithStandIn},
    name="wandb-ng",
    version=VERSION,
    description="An open, offline-first recorder and syncer for the Weights & Biases API",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.9",
    packages=find_packages(include=["wandb", "wandb.*", "wandb_sync", "wandb_sync.*"]),
    package_data={
        "wandb": ["py.typed", "proto/*.pyi", "server/static/*", "server/templates/*", "server/*.graphql"],
        "wandb_sync": ["py.typed"],
    },
    install_requires=[
        "protobuf>=3.20,<8",
        "zstandard>=0.19",
        "requests>=2.28",
        "click>=8.0",
        "watchdog>=2.1",
        "tenacity>=8.0",
    ],
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": [
            "wandb = wandb.cli:main",
            "wb = wandb.cli:main",
            "wandb-sync = wandb_sync.cli:main",
        ]
    },
    classifiers=[
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(9, 14)),
        "Topic :: Scientific/Engineering",
        "Typing :: Typed",
    ],
)

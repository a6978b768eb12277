"""Build description for colcon (ament_python); `pip` uses pyproject.toml at the root instead."""

from glob import glob
from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = "snn_controller"

# colcon also installs what a dangling link would silently leave out, so look before building.
for folder in ("launch", "snn_sim/bullet"):
    if not Path(folder).is_dir():
        raise SystemExit(
            f"{folder} is missing: it is a link into the repository, so check out"
            " (or copy) the whole repository"
        )

setup(
    name=PACKAGE,
    version="0.1.0",
    # Doubles of firmware and the fault campaign are test equipment that stays in the repository:
    # snn_sim here holds links to the other rooms only, for --symlink-install too.
    packages=find_packages(include=[f"{PACKAGE}*", "snn_sim*"]),
    package_data={f"{PACKAGE}.vehicle": ["*.yaml"], f"{PACKAGE}.report.page": ["*.css", "*.js"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        (f"share/{PACKAGE}/launch", glob("launch/*.launch.py")),
        (f"share/{PACKAGE}/config", glob("config/*")),
        (f"share/{PACKAGE}/policies", glob("policies/*.onnx")),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    maintainer="snn_controller maintainers",
    maintainer_email="maintainers@snn-controller.example",
    description="Control stack for quadrotors flown by spiking neural network policies",
    license="MIT",
    entry_points={
        "console_scripts": [
            f"controller = {PACKAGE}.nodes.controller_node:main",
            f"firmware = {PACKAGE}.nodes.firmware_node:main",
            f"simulator = {PACKAGE}.nodes.simulator_node:main",
            f"recorder = {PACKAGE}.nodes.recorder_node:main",
            f"viewer = {PACKAGE}.nodes.viewer_node:main",
            f"judge = {PACKAGE}.nodes.judge_node:main",
            f"snn-fly = {PACKAGE}.bringup.runner:main",
            f"snn-report = {PACKAGE}.report.page.page:main",
            f"snn-replay = {PACKAGE}.replay.command:main",
        ]
    },
)

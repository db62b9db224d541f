# Everything happens in this checkout: the environment is .venv, results are in demo-out.
#
#   make demo               the main job on a synthetic street (BAG=path or VIDEO=path for your own)
#   make test               linters and the test suite; while working, without ROS and without whole
#                           commands: make test ARGS="-m 'not ros'"
#   make test ROS=jazzy     the same on the wheels of Jazzy, in .venv-jazzy
#   make matrix             the tests without ROS on other Pythons, NumPy, OpenCV and torch
#   make lint               the linters alone
#   make parameters         config/segmentation.yaml and the table in docs/node.md, written from the table of
#                           parameters
#   make figures            the figures of docs/, measured anew, as JSON in build/figures; those of real video
#                           with CAMVID=path, KITTI_BAG=path and KITTI_LIDAR=path
#   make pictures           the pictures of README.md, from the demo
#   make gpu-check          what this machine's GPU makes of the package, in eight minutes: one JSON and one page in
#                           build/gpu-check; ARGS=--dry-run on the CPU, GPU_PYTHON=path of a Python with CUDA's torch
#   make docs               the documents as a site, in build/site
#   make version VERSION=1.2.3   the next version, in all files that name it
#   make demo CUDA=1        with the CUDA build of torch (in a new environment: make clean first)

PYTHON ?= python3.11
ROS ?= kilted
VENV := $(CURDIR)/.venv$(if $(filter-out kilted,$(ROS)),-$(ROS))
BIN := $(VENV)/bin
OUT ?= demo-out
CUDA ?=
# The package index has torch's CUDA build alone, 3 GB with all that it needs; the CPU build is on PyTorch's own
# index. Where that cannot be reached, pip takes what it finds elsewhere.
CPU_TORCH := --retries 1 --extra-index-url https://download.pytorch.org/whl/cpu torch==2.13.0
GPU_PYTHON ?= $(BIN)/python
ONLY_OTHERS = $(if $(filter-out kilted,$(ROS)),| grep -v '^ros-') # constraints.txt holds Kilted's wheels

export PIP_NO_CACHE_DIR := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PYTHONDONTWRITEBYTECODE # else each process of the tests compiles all modules anew

INPUT := $(if $(BAG),--bag $(BAG),$(if $(VIDEO),--video $(VIDEO)))
BUILD_INPUTS := CMakeLists.txt package.xml pyproject.toml setup.py constraints.txt \
	.ci/requirements.py $(wildcard msg/*.msg cmake/*.cmake cmake/tf2_msgs/* cmake/tf2_msgs/msg/*)

FIGURES := build/figures
BENCH := $(BIN)/stmem bench
EVALUATE = $(BIN)/stmem evaluate --dataset camvid --root $(CAMVID) --split val --model onboard

.PHONY: demo test gpu-check matrix docs pictures version lint parameters figures env clean constraints

demo: env
	$(BIN)/stmem demo $(INPUT) --out $(OUT) $(ARGS)

# Two files of tests at a time, each on one core.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

matrix: env
	$(BIN)/python .ci/matrix.py $(ARGS)

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

gpu-check:
	$(GPU_PYTHON) .ci/gpu_check.py $(ARGS)

pictures: demo
	$(BIN)/python docs/write_pictures.py $(OUT)

docs:
	$(PYTHON) -m venv build/docs-env
	build/docs-env/bin/pip install --quiet mkdocs-material 'mkdocstrings[python]'
	build/docs-env/bin/mkdocs build --strict

version:
	python3 .ci/version.py $(VERSION)

parameters: env
	$(BIN)/python docs/write_parameters.py

# On a machine that does nothing else; each alone, as docs/performance.md and the cards quote them.
figures: env
	mkdir -p $(FIGURES)
	for size in 256x512 512x1024; do $(BENCH) core --model psp50 --size $$size --force --json $(FIGURES)/psp50_$$size.json || exit 1; done
	for size in 180x240 360x480 960x1280; do $(BENCH) core --model onboard --size $$size --force --json $(FIGURES)/onboard_$$size.json || exit 1; done
	for size in 180x240 360x480; do $(BENCH) core --model onboard --size $$size --cameras 4 --force --json $(FIGURES)/four_cameras_$$size.json || exit 1; done
	for rate in 5 30; do $(BENCH) node --size 1280x720 --rate $$rate --seconds 20 --force --json $(FIGURES)/node_$${rate}hz.json || exit 1; done
	$(BENCH) costmap --force --json $(FIGURES)/costmap.json
	$(BENCH) costmap --model onboard --force --json $(FIGURES)/costmap_onboard.json
	$(if $(KITTI_BAG),$(BENCH) costmap --model onboard --bag $(KITTI_BAG) --lidar $(KITTI_LIDAR) --force --json $(FIGURES)/kitti.json)
	$(if $(CAMVID),$(EVALUATE) --ablate --robustness --force --json $(FIGURES)/onboard.json)
	$(if $(CAMVID),for type in bfloat16 float16; do $(EVALUATE) --precision $$type --force --json $(FIGURES)/onboard_$$type.json || exit 1; done)

env: $(VENV)/.ready

$(VENV)/.ready: $(BUILD_INPUTS)
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is not there; ROS 2 wheels need Python 3.11 (make PYTHON=path)"; exit 1; }
	@command -v cc >/dev/null && $(PYTHON) -c "import ensurepip, os, sysconfig; os.stat(sysconfig.get_path('include') + '/Python.h')" 2>/dev/null || { echo "make: a C compiler, Python's headers or its venv are missing; on Debian and Ubuntu: sudo apt install build-essential python3.11-dev python3.11-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@echo "1/3 torch ($(if $(CUDA),CUDA,CPU) build)"
	$(BIN)/pip install --progress-bar on $(if $(CUDA),torch,$(CPU_TORCH))
	@echo "2/3 ROS 2 and the build tools"
	grep -v $(if $(CUDA),'^torch==','^$$') constraints.txt $(ONLY_OTHERS) > $(VENV)/constraints.txt
	$(BIN)/python .ci/requirements.py build $(ROS) > $(VENV)/build-requirements.txt
	$(BIN)/python .ci/requirements.py run $(ROS) > $(VENV)/requirements.txt
	$(BIN)/pip install -c $(VENV)/constraints.txt -r $(VENV)/build-requirements.txt
	@echo "3/3 stmem_ros, its messages and what it needs"
	$(BIN)/pip install -c $(VENV)/constraints.txt -r $(VENV)/requirements.txt
	$(BIN)/pip install --no-build-isolation --no-deps -e .
	touch $@

# The wheels' generated packages (rclpy, std_msgs, ...) are listed by pip beside their wheels (ros-rclpy,
# ros-std-msgs, ...); only the latter can be installed by name.
constraints: env
	$(BIN)/pip freeze --all --exclude-editable | sed 's/^torch==.*/torch==2.13.0/' | grep -v '^pip==' > $(VENV)/freeze.txt
	{ head -1 constraints.txt; awk -F== 'NR == FNR { name = $$1; gsub("-", "_", name); if (sub(/^ros_/, "", name)) wheel[name]; next } !($$1 in wheel)' $(VENV)/freeze.txt $(VENV)/freeze.txt; } > $(VENV)/constraints.new
	mv $(VENV)/constraints.new constraints.txt

clean:
	rm -rf $(VENV) build

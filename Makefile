# make demo    trains and evaluates ScoreVAE on the embedded digits, and writes a report with pictures
# make test    runs the tests; make test-slow those that it leaves out, before a release
# make newest  runs a part of the tests, without torch, with the newest versions that setup.py allows; NEWEST names its Python
# make package builds the wheel in dist/, and tries it in a clean environment, outside the clone
# All but newest create .venv from the lock files, by their hashes, if need be. PYTHON names the interpreter (3.11 or later).

PYTHON ?= python3
NEWEST ?= python3.13
RUN = .venv/bin/python
PIP = $(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation
LOCKED = $(PIP) --require-hashes
CONFIG = configs/scorevae_digits.py
# What `make newest` runs: theorems, a network, a method and the training loop.
PART = tests/diffusion/test_scores.py tests/diffusion/test_losses.py tests/nets/test_nets.py tests/nets/test_norm.py tests/methods/test_score_vae.py tests/training/test_loop.py

.PHONY: demo test test-slow newest lint package lock clean

demo: .venv/ready
	$(RUN) main.py --config $(CONFIG) --mode train
	$(RUN) main.py --config $(CONFIG) --mode eval

test: .venv/test
	$(RUN) -m pytest -n auto --dist worksteal

test-slow: .venv/test
	$(RUN) -m pytest -n auto --dist worksteal -m slow

newest:
	$(NEWEST) -m venv --clear .newest
	.newest/bin/python -m pip install --quiet --disable-pip-version-check -e . \
		"beartype>=0.23" pandas psutil pytest pytest-timeout pytest-xdist
	.newest/bin/python -m pytest -n auto --dist worksteal $(PART)

lint: .venv/test
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m basedpyright --pythonpath $(RUN)

package: .venv/test
	rm -rf dist
	$(RUN) -m build --no-isolation --outdir dist .
	$(RUN) tests/packaging/try_wheel.py dist/*.whl

.venv/ready: requirements.lock setup.py
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and f'Python 3.11 or later is needed, got {sys.version.split()[0]}; try: make PYTHON=python3.12 ...')"
	test -x $(RUN) || $(PYTHON) -m venv .venv
	$(LOCKED) -r requirements.lock
	$(PIP) -e .
	touch $@

.venv/test: .venv/ready requirements-test.lock requirements-torch.lock requirements-torch-cpu.lock
	$(LOCKED) -r requirements-test.lock
	# torch's own build for CPUs where pip finds it, or else the index's.
	$(LOCKED) -qq -r requirements-torch-cpu.lock || $(LOCKED) -r requirements-torch.lock
	touch $@

# Writes the lock files: what was asked for anew is added, and the versions of all else stay. `make lock UPGRADE=--upgrade` takes the
# newest ones, and UPGRADE="--upgrade-package NAME" that of one package.
lock:
	test -x .lock/bin/uv || { $(PYTHON) -m venv .lock && .lock/bin/python -m pip install --quiet uv; }
	PATH="$(CURDIR)/.lock/bin:$$PATH" $(PYTHON) tests/packaging/lock.py $(UPGRADE)

clean:
	rm -rf .venv .newest .lock runs dist

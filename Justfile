# `just` lists these; each is a line over cargo or tenure.

# List the recipes
default:
    @{{ just_executable() }} --list --unsorted

# Play the story of a run that outlives its worker and its server; `just demo approvals`: of one that waits for people
demo *args:
    cargo run --release -- demo {{ args }}

# Serve on http://localhost:6767 with a private Postgres under target/dev
dev *args:
    cargo run -- serve --data-dir target/dev {{ args }}

# Run all tests; `just test NAME` runs those whose name contains NAME
test *args:
    cargo test {{ args }}

# Run the Python SDKs' suite only; arguments go to pytest, as in `just sdk -k stream`
sdk *args:
    TENURE_TEST_SDK_ARGS="{{ args }}" cargo test --test it sdk::

# Explore the model of tasks, leases and attempts in full: more than a million states, some minutes
model:
    cargo test --lib runtime::model -- --ignored --nocapture

# Decide 1,000 questions by 64 people each who contradict one another, and let one wait through 50 kills of its server
approvals:
    TENURE_TEST_APPROVALS=1000 TENURE_TEST_DECISIONS=64 TENURE_TEST_RESTARTS=50 cargo test --test it approvals::

# Look at the pages with Chromium and chromedriver; pictures land in screenshots/ of Cargo's target directory
browser *args:
    cargo test --test it browser:: {{ args }}

# Pull the plug at every statement of every scenario, and count what was lost; `just torture --quick` takes three
torture *args:
    cargo run --release -- torture {{ args }}

# Measure beside what Postgres can do here; writes docs/performance.md and target/bench. `just bench-quick` tries it out
bench *args:
    cargo run --release -- bench --markdown docs/performance.md --save target/bench {{ args }}

# Try the benchmark out; its figures say nothing
bench-quick *args:
    cargo run --release -- bench --quick {{ args }}

# Measure beside DBOS and Restate, on the same Postgres (needs Node and npm)
bench-peers *args:
    npm install --prefix benches/peers --no-package-lock --no-audit --no-fund
    cargo run --release -- bench --only peers --peer "node benches/peers/dbos.js" --peer "node benches/peers/restate.js" {{ args }}

# Measure the pages over a million runs, beside their goals; writes docs/pages-benchmark.md. `--quick` tries it out
bench-pages *args:
    cargo bench --bench pages -- {{ args }}

# Everything that is checked before a commit, cheapest first
check: fmt-check lint doc

# Format the code
fmt:
    cargo fmt

# Is the code formatted?
fmt-check:
    cargo fmt --check

# Warnings are errors
lint:
    cargo clippy --all-targets -- -D warnings

# Build the documentation of the code
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

# Licences, advisories and sources of dependencies (needs cargo-deny)
deny:
    cargo deny check

# Everything that continuous integration does (installs packages: meant for a throw-away machine)
ci:
    .ci/run

# Open psql on the database of `just dev`
psql *args:
    cargo run --quiet -- psql --data-dir target/dev -- {{ args }}

# Show tables and views of the database of `just dev`
schema:
    cargo run --quiet -- psql --data-dir target/dev -- --command '\d tenure.*'

# Forget everything that `just dev` has stored
[confirm("Delete target/dev?")]
reset:
    rm -rf target/dev

# Say what is wrong with the server on this machine and how to fix it
doctor:
    cargo run --quiet -- doctor

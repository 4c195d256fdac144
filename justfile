# What CI runs.
ci:
    .ci/run

check:
    cargo clippy --workspace --all-targets -- -D warnings

test:
    cargo test --workspace

fmt:
    cargo fmt --all

doc:
    cargo doc --workspace --no-deps --document-private-items

demo:
    cargo run --release -p dotgate -- demo

# One target of fuzz/: query, answer, cookie, frame, session, engine, snapshot, http, proxy or lists.
fuzz target seconds="60":
    mkdir -p fuzz/corpus/{{target}}
    cargo +nightly fuzz run {{target}} fuzz/corpus/{{target}} $(ls -d dotgate-*/tests/corpus/{{target}} || true) -- -max_total_time={{seconds}}

# Adds to tests/corpus what of fuzz/corpus reaches code that nothing there does; at most 400 bytes each.
fuzz-keep target:
    cargo +nightly fuzz run {{target}} $(ls -d dotgate-*/tests/corpus/{{target}}) fuzz/corpus/{{target}} -- -merge=1 -use_counters=0 -max_len=400

# Looks for responses, or queries, that cost more than those we know; the worst go to the folder. See dotgate-sim/tests/instructions.
costly kind="response" seconds="600" folder="/tmp":
    cargo run --release -p dotgate-sim --example hit -- search {{kind}} {{seconds}} {{folder}}

# Random worlds around the engine until one breaks a rule; each prints its seed.
sim:
    cargo run --release -p dotgate-sim --example soak

# CPU per query next to dnsdist and Unbound; six minutes on an idle machine.
bench:
    cargo build --release -p dotgate -p dotgate-bench
    target/release/dotgate-bench compare --dotgate target/release/dotgate

# docs/benchmarks.md and the figures of README.md: dotgate next to all forwarders that are in PATH or in target/peers
# (`bench/peers/get target/peers`); twenty minutes on an idle machine. As root, for the programs in target/peers/tree.
bench-report:
    cargo build --release -p dotgate -p dotgate-bench
    target/release/dotgate-bench report --dotgate target/release/dotgate --output docs \
        --readme README.md --tools target/peers/bin --tree target/peers/tree

# A static binary for a container or any Linux.
release:
    RUSTFLAGS="-C target-feature=+crt-static" cargo build --release -p dotgate --target "$(rustc -vV | sed -n 's/^host: //p')"

# What is made from other files for the chart: copies, the schema of its values, the plain manifests; needs helm.
chart:
    cp deploy/prometheus/alerts.yml deploy/grafana/dotgate.json deploy/helm/dotgate/files/
    DOTGATE_WRITE=1 cargo test -p dotgate --test kubernetes the_schema_of_the_values
    (echo '# Made by `just chart` from deploy/helm/dotgate: `kubectl apply -f` it in a namespace of its own.'; \
        helm template dotgate deploy/helm/dotgate --kube-version 1.27.0 --skip-tests \
        | grep -v 'helm.sh/chart: \|app.kubernetes.io/managed-by: ') > deploy/kubernetes/dotgate.yaml

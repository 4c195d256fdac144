# An image with one static binary only. See docs/containers.md.
#
#     docker build -t dotgate .
#
# Without access to a registry: --build-arg RUST_IMAGE=<any image with cargo and a C compiler>.
# Faster to build, but a slower program: --build-arg LTO=off --build-arg CODEGEN_UNITS=16 --build-arg OPT_LEVEL=1.
ARG RUST_IMAGE=rust:1-slim-bookworm

# The workspace with empty source files: this layer changes only with a manifest or the name of a file.
FROM ${RUST_IMAGE} AS manifests
WORKDIR /src
COPY . .
RUN find . -name '*.rs' -exec truncate --size=0 {} + \
    && for program in $(find . -name main.rs -o -name build.rs); do echo 'fn main() {}' > "$program"; done

FROM ${RUST_IMAGE} AS build
ARG LTO=fat
ARG CODEGEN_UNITS=1
ARG OPT_LEVEL=3
ENV CARGO_PROFILE_RELEASE_LTO=${LTO} \
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS=${CODEGEN_UNITS} \
    CARGO_PROFILE_RELEASE_OPT_LEVEL=${OPT_LEVEL} \
    CARGO_PROFILE_RELEASE_STRIP=debuginfo \
    RUSTFLAGS="-C target-feature=+crt-static"
WORKDIR /src
# Only the dependencies, so that this layer is reused while only our code changes.
COPY --from=manifests /src .
RUN cargo build --release --locked -p dotgate --target "$(uname -m)-unknown-linux-gnu"
COPY . .
ARG REVISION=unknown
# Cargo goes by the time of a file, and those of the empty ones are later.
RUN find . -name '*.rs' -exec touch {} + \
    && BUILD_COMMIT="$REVISION" cargo build --release --locked -p dotgate --target "$(uname -m)-unknown-linux-gnu" \
    && cp target/*/release/dotgate /dotgate

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="dotgate" \
      org.opencontainers.image.description="A DNS forwarder: plain DNS in, DNS over TLS out" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /dotgate /dotgate
# A number, since Kubernetes cannot tell from a name that it is not root.
USER 65532:65532
# What the examples set PORT and DOTGATE_ADMIN_LISTEN to: high, so that no capability is needed.
EXPOSE 5300/udp 5300/tcp 853/tcp 853/udp 443/tcp 9153/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/dotgate", "healthcheck"]
ENTRYPOINT ["/dotgate"]

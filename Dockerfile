# syntax=docker/dockerfile:1
# The image of `make image PROFILE=release`, where there is a daemon:
#   docker build -t registry.example/rauthy-operator:1 .
FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY . .
# .cargo/config.toml names x86_64 and links statically; an arm64 builder builds for itself.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    set -eu; \
    triple="$(uname -m)-unknown-linux-gnu"; \
    cargo build --locked -p rauthy-agent -p rauthy-operator --bins --release --target "$triple"; \
    mkdir /out; \
    cp "target/$triple/release/rauthy-agent" "target/$triple/release/rauthy-operator" /out/

FROM scratch
COPY --from=build /out/ /
USER 10001:10001

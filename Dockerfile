# syntax=docker/dockerfile:1
# A small image with one binary. It runs without root and, when DATABASE_URL names a Postgres, on a read-only file
# system.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked && cp target/release/tenure /tenure

FROM debian:bookworm-slim
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /tenure /usr/local/bin/tenure
USER 10001:10001
WORKDIR /tmp
EXPOSE 6767
# Beyond loopback the server starts only with TENURE_API_KEY set.
ENV TENURE_LISTEN=0.0.0.0:6767
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=5 CMD ["tenure", "doctor", "--live"]
ENTRYPOINT ["tenure"]
CMD ["serve"]

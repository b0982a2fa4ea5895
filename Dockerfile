# docker build -t wasm-reconciler .
# docker run --read-only --tmpfs /tmp -v state:/state -v ./specs:/specs:ro -v ./modules:/modules:ro -p 2045:2045 wasm-reconciler
FROM python:3.11-slim-bookworm AS build
COPY pyproject.toml README.md LICENSE /source/
COPY specs /source/specs
COPY reconciler /source/reconciler
COPY api /source/api
COPY image /source/image
RUN /source/image/build.sh /source /opt/wasm-reconciler

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="wasm-reconciler" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/wasm-reconciler /opt/wasm-reconciler
# The directories exist and belong to the user before they are volumes: a named volume takes over their owner.
RUN install -d -o 65532 -g 65532 /specs /modules /state
ENV PATH=/opt/wasm-reconciler/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
USER 65532:65532
VOLUME ["/specs", "/modules", "/state"]
EXPOSE 2045 34998
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["probe", "http://127.0.0.1:34998/livez"]
# The daemon is process 1: it starts no processes, so there are none to reap, and it handles SIGTERM itself.
ENTRYPOINT ["wasm-reconciler"]
CMD ["serve", "--specs=/specs", "--module-root=/modules", "--state=/state", "--listen=0.0.0.0:2045", "--log-format=json"]

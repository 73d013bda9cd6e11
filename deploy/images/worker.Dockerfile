# A worker, for CPUs or, with the CUDA libraries that TensorFlow asks for, for NVIDIA GPUs.
#
#   docker build -f deploy/images/worker.Dockerfile -t ghcr.io/espalier/worker:0.1.0 .
#   docker build -f deploy/images/worker.Dockerfile --build-arg DEVICE=gpu -t ghcr.io/espalier/worker:0.1.0-gpu .
#
# Build arguments NPM_CONFIG_REGISTRY and PIP_INDEX_URL: mirrors of npm and PyPI. Secret `ca`: authorities to trust while
# building. See docs/images.md.

ARG NODE_VERSION=20.20.2

FROM node:${NODE_VERSION}-bookworm-slim AS build
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates g++ python3 python3-pip
WORKDIR /src
COPY deploy/images/system-files.sh deploy/images/with-authorities.sh deploy/images/
# cuDNN needs zlib.
RUN sh deploy/images/system-files.sh /image zlib1g

COPY package.json package-lock.json .npmrc ./
ARG NPM_CONFIG_REGISTRY
RUN --mount=type=secret,id=ca sh deploy/images/with-authorities.sh npm ci --no-audit --no-fund --no-progress

# Before the sources: the engine's libraries are made again only when they change themselves.
COPY setup setup
COPY worker/engine/native worker/engine/native
COPY deploy/images/install-engine.mjs deploy/images/
ARG PIP_INDEX_URL
ARG DEVICE=cpu
RUN --mount=type=secret,id=ca ESPALIER_DEVICE=${DEVICE} \
  sh deploy/images/with-authorities.sh node deploy/images/install-engine.mjs /image/opt/espalier

COPY tsconfig.json LICENSE ./
COPY protos protos
COPY shared shared
COPY pruning pruning
COPY checkpoint checkpoint
COPY dataset dataset
COPY worker worker
COPY coordinator coordinator
COPY cli cli
RUN node setup/main.mjs build

COPY deploy/images/collect-files.mjs deploy/images/
RUN node deploy/images/collect-files.mjs worker /image/opt/espalier && mkdir /cache

FROM scratch
COPY --from=build /image/ /
COPY --from=build --chown=65532:65532 /cache /var/cache/espalier

ARG DEVICE=cpu
ENV PATH=/usr/local/bin:/usr/bin
ENV NODE_ENV=production
# Caches, where no setting says otherwise: /var/cache/espalier/… The only folder beside /tmp that is written to.
ENV XDG_CACHE_HOME=/var/cache
ENV ESPALIER_HEALTH_PORT=9481
# A worker of the GPU variant that finds no GPU ends with the reason; it does not compute on the CPU in silence.
ENV ESPALIER_DEVICE=${DEVICE}
ENV TF_CPP_MIN_LOG_LEVEL=2
# For GPUs: what of the driver is asked of the container toolkit, where some clusters mount it, and kernels compiled on start.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility
ENV LD_LIBRARY_PATH=/usr/local/nvidia/lib:/usr/local/nvidia/lib64
ENV CUDA_CACHE_PATH=/var/cache/espalier/cuda

ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="Espalier worker (${DEVICE})"
LABEL org.opencontainers.image.description="Computes the tasks of jobs that prune transformers after training"
LABEL org.opencontainers.image.licenses=Apache-2.0
LABEL org.opencontainers.image.source=https://github.com/espalier/espalier
LABEL org.opencontainers.image.documentation=https://github.com/espalier/espalier/blob/main/docs/images.md
LABEL org.opencontainers.image.vendor=Espalier
LABEL org.opencontainers.image.version=${VERSION}
LABEL org.opencontainers.image.revision=${REVISION}
LABEL org.opencontainers.image.created=${CREATED}

# gRPC, metrics, health.
EXPOSE 7077 9471 9481
USER 65532:65532
WORKDIR /opt/espalier
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
  CMD ["/usr/local/bin/node", "/opt/espalier/cli/espalier.mjs", "health", "127.0.0.1:9481", "--service", "ready"]
# tini, because the kernel spares process 1 of a container all signals that it has no handler for, SIGKILL of its own included:
# a worker that ends itself when its time to drain is over would live on.
ENTRYPOINT ["/usr/bin/tini", "--", "/usr/local/bin/node", "/opt/espalier/cli/espalier.mjs"]
CMD ["worker"]

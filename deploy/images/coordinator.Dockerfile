# The coordinator, with the commands of users: TensorFlow and ONNX Runtime are not in it, since only workers compute.
#
#   docker build -f deploy/images/coordinator.Dockerfile -t ghcr.io/espalier/coordinator:0.1.0 .
#
# Build argument NPM_CONFIG_REGISTRY: a mirror of npm. Secret `ca`: authorities to trust while building. See docs/images.md.

ARG NODE_VERSION=20.20.2

FROM node:${NODE_VERSION}-bookworm-slim AS build
WORKDIR /src
COPY deploy/images/system-files.sh deploy/images/with-authorities.sh deploy/images/
RUN sh deploy/images/system-files.sh /image

COPY package.json package-lock.json .npmrc ./
ARG NPM_CONFIG_REGISTRY
RUN --mount=type=secret,id=ca sh deploy/images/with-authorities.sh npm ci --no-audit --no-fund --no-progress

COPY tsconfig.json LICENSE ./
COPY setup setup
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
RUN node deploy/images/collect-files.mjs coordinator /image/opt/espalier && mkdir /cache

FROM scratch
COPY --from=build /image/ /
COPY --from=build --chown=65532:65532 /cache /var/cache/espalier

ENV PATH=/usr/local/bin:/usr/bin
ENV NODE_ENV=production
# Caches, where no setting says otherwise: /var/cache/espalier/… The only folder beside /tmp that is written to.
ENV XDG_CACHE_HOME=/var/cache
ENV ESPALIER_HEALTH_PORT=9480

ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="Espalier coordinator"
LABEL org.opencontainers.image.description="Owns jobs that prune transformers after training, and has the commands to submit them"
LABEL org.opencontainers.image.licenses=Apache-2.0
LABEL org.opencontainers.image.source=https://github.com/espalier/espalier
LABEL org.opencontainers.image.documentation=https://github.com/espalier/espalier/blob/main/docs/images.md
LABEL org.opencontainers.image.vendor=Espalier
LABEL org.opencontainers.image.version=${VERSION}
LABEL org.opencontainers.image.revision=${REVISION}
LABEL org.opencontainers.image.created=${CREATED}

# gRPC, metrics, health.
EXPOSE 7070 9470 9480
USER 65532:65532
WORKDIR /opt/espalier
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["/usr/local/bin/node", "/opt/espalier/cli/espalier.mjs", "health", "127.0.0.1:9480", "--service", "ready"]
# tini, because the kernel spares process 1 of a container all signals that it has no handler for, SIGKILL of its own included:
# a process that ends itself when its time to drain is over would live on.
ENTRYPOINT ["/usr/bin/tini", "--", "/usr/local/bin/node", "/opt/espalier/cli/espalier.mjs"]
CMD ["coordinator"]

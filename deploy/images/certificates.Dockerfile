# The first step of deploy/compose.yaml: makes certificates, and volumes that belong to the user of the other services. It runs
# once, before them, and is not published; unlike their images it has a whole Debian in it.

ARG NODE_VERSION=20.20.2

FROM node:${NODE_VERSION}-bookworm-slim
RUN apt-get update && apt-get install --yes --no-install-recommends openssl
WORKDIR /src
COPY deploy/new-files.mjs deploy/certificates.mjs deploy/make-certificates.mjs deploy/
COPY deploy/compose/make-certificates.mjs deploy/compose/
# A volume takes its owner from the folder that it is first mounted on.
RUN mkdir -p /volumes/certificates/authority /volumes/certificates/nats /volumes/certificates/coordinator \
  /volumes/certificates/worker /volumes/certificates/user /volumes/nats /volumes/results && chown -R 65532:65532 /volumes
USER 65532:65532
HEALTHCHECK NONE
ENTRYPOINT ["/usr/local/bin/node", "/src/deploy/compose/make-certificates.mjs"]
CMD ["/volumes/certificates"]

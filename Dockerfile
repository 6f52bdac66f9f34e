# The operator's image. Not built in CI: base images come from registries that it does not reach.
#
#   podman build --build-arg VERSION=v0.1.0 -t registry.example.com/infra/safe-mirror-operator:v0.1.0 .
ARG BUILDER=docker.io/library/golang:1.26
ARG BASE=registry.access.redhat.com/ubi9/ubi-micro:latest

FROM --platform=$BUILDPLATFORM ${BUILDER} AS build
ARG TARGETOS=linux
ARG TARGETARCH=amd64
ARG VERSION=dev
WORKDIR /src
# The modules first: they change less often than the sources.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" -o /out/safe-mirror .

FROM ${BASE}
ARG VERSION=dev
LABEL org.opencontainers.image.title="safe-mirror-operator" \
      org.opencontainers.image.description="Rolls image mirror sets out to OpenShift nodes without a failed pull or a blocked drain" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
# Registries with public certificates; the base may come without any.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/safe-mirror /usr/local/bin/safe-mirror
USER 65532
ENTRYPOINT ["/usr/local/bin/safe-mirror"]

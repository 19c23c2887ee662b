# ddbench in a container, for CPUs or, with `--build-arg DEVICE=cuda`, for NVIDIA GPUs:
#   docker build --build-arg USER_ID="$(id -u)" --tag ddbench .
#   docker run --rm --init --volume "$PWD:/work" ddbench quickstart
# docs/getting-started.md says more.

ARG PYTHON=3.11
ARG DEBIAN=bookworm

# Installs; of this stage the environment alone is in the image.
FROM python:${PYTHON}-slim-${DEBIAN} AS build
ARG DEVICE=cpu
ARG UV=0.13.9
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PYTHON_DOWNLOADS=never \
    VIRTUAL_ENV=/opt/ddbench
RUN pip install --no-cache-dir --disable-pip-version-check "uv==${UV}" && \
    uv venv "${VIRTUAL_ENV}"

# The packages first, at the versions that pyproject.toml pins: a change of the code alone does not fetch them again.
# PyTorch's builds for CPUs are on an index of its own; those for NVIDIA GPUs are what PyPI has for x86-64.
WORKDIR /source
COPY pyproject.toml ./
RUN case "${DEVICE}" in \
        cpu) export UV_TORCH_BACKEND=cpu ;; \
        cuda) ;; \
        *) echo "DEVICE is cpu or cuda, got ${DEVICE}" >&2; exit 2 ;; \
    esac && \
    uv pip install --requirements pyproject.toml --extra testing

COPY README.md LICENSE ./
COPY ddbench ddbench
COPY baselines baselines
RUN uv pip install --no-deps .

FROM python:${PYTHON}-slim-${DEBIAN} AS ddbench
ARG USER_ID=1000
# ddbench compiles its native code at first use, with `c++`. Debian keeps one version of a package, so none is pinned.
# hadolint ignore=DL3008
RUN apt-get update && \
    apt-get install --yes --no-install-recommends g++ && \
    rm -rf /var/lib/apt/lists/* && \
    useradd --create-home --no-log-init --uid "${USER_ID}" ddbench && \
    install --directory --owner=ddbench --group=ddbench /data /cache /work
COPY --from=build /opt/ddbench /opt/ddbench

ENV PATH="/opt/ddbench/bin:${PATH}" \
    DDBENCH_DATA_DIR=/data \
    DDBENCH_MODEL_DIR=/data/models \
    DDBENCH_CACHE_DIR=/cache \
    HF_HOME=/cache/huggingface \
    TORCH_HOME=/cache/torch
USER ${USER_ID}
VOLUME ["/data", "/cache", "/work"]
WORKDIR /work
ENTRYPOINT ["ddbench"]
CMD ["--help"]

# `sama serve` in a container: no root, clips and weights in /data, a health check.
#
#   docker build -t sama .                                  CPU
#   docker build -t sama:cuda --build-arg VARIANT=cuda .    NVIDIA; PyTorch's wheels bring CUDA, the host its driver
#   docker run --rm -p 127.0.0.1:8000:8000 -e SAMA_API_KEY=... -v sama-data:/data sama [OPTIONS OF sama serve]
#
# Without a key it refuses to start, for a container is reached from outside.
ARG PYTHON_VERSION=3.12

FROM python:${PYTHON_VERSION}-slim AS build
ARG VARIANT=cpu
ARG EXTRAS=serve
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/sama
ENV PATH=/opt/sama/bin:$PATH
WORKDIR /build
# torch first: it is large, and does not change when the sources do.
COPY constraints.txt ./
RUN case "$VARIANT" in \
      cpu) pip install --constraint constraints.txt --extra-index-url https://download.pytorch.org/whl/cpu torch ;; \
      cuda) pip install --constraint constraints.txt torch ;; \
      *) echo "VARIANT is $VARIANT; it is cpu or cuda" >&2; exit 1 ;; \
    esac
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN pip install --constraint constraints.txt ".[${EXTRAS}]"

FROM python:${PYTHON_VERSION}-slim
LABEL org.opencontainers.image.title="sama-video" org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --home-dir /data --no-create-home sama \
    && install --directory --owner sama /data
COPY --from=build /opt/sama /opt/sama
ENV PATH=/opt/sama/bin:$PATH HF_HOME=/data/hub PYTHONUNBUFFERED=1 \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=180s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["sama", "serve", "--host", "0.0.0.0", "--port", "8000", "--data", "/data/clips"]

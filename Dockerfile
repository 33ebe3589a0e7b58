# The service with the models of this repository:
#
#   docker build --build-arg PIP_EXTRA_INDEX_URL --tag mcdrop .
#   docker run --publish 8000:8000 mcdrop
#
# Set PIP_EXTRA_INDEX_URL to PyTorch's CPU index (README, "Which torch"), or the image holds the CUDA build.

FROM python:3.11-slim AS build
ARG PIP_EXTRA_INDEX_URL
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/mcdrop
ENV PATH=/opt/mcdrop/bin:$PATH
# The hashes of every file are checked before the project itself is built. The torch of another index has others.
COPY deploy/requirements-serve.txt deploy/requirements-torch.txt ./
RUN pip install --require-hashes --requirement requirements-serve.txt
RUN test -n "$PIP_EXTRA_INDEX_URL" || pip install --require-hashes --requirement requirements-torch.txt
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY mcdrop mcdrop
COPY service service
RUN pip install --constraint constraints.txt ".[serve]"

FROM python:3.11-slim
# One thread, and sums in a fixed order: both must be set before torch is loaded.
ENV PATH=/opt/mcdrop/bin:$PATH PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1 MKL_CBWR=AUTO,STRICT
RUN useradd --system --create-home --uid 10001 mcdrop
WORKDIR /srv
COPY --from=build /opt/mcdrop /opt/mcdrop
COPY models models
USER mcdrop
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["mcdrop", "serve", "models", "--host", "0.0.0.0", "--port", "8000"]

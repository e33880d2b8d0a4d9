"""`genarm serve`: the OpenAI API over the base model and the versions in use.

A reading order: `settings`, `errors`, `lineup` (what answers), `body` and `ask` (what is asked), `worker`
(the one thread that decodes), `answer` (what is said), `keys`, `metrics`, `service`, `streaming`, `envelope`,
`arms`, `reading`, `schema`, `compare_body`, `comparing`, `compare_routes` (people compare two responses),
`page_routes` (the pages, which lie in `page/` and `compare_page/`), `app` (HTTP), `opening` (versions are
loaded), `watcher` (new champions), `canary` and `canary_watch` (a challenger beside the champion), `run`; and
for vLLM, whose server is another process, `vllm_body`, `vllm_gate`, `vllm_swap`, `vllm_middleware`,
`vllm_room`, `vllm_command`, `vllm_follow`, `vllm_engine`.
"""

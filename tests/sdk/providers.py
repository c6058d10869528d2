"""Servers that answer as OpenAI, Anthropic and Vertex AI do: one text, or one tool call when the request brings tools."""

import http.server
import json
import threading

TEXT = ["Hello", " there", "!"]
ARGUMENTS = ['{"city":', ' "Paris"}']
USAGE = {"input": 12, "output": 5}


def sse(data, event=None):
    name = f"event: {event}\n" if event else ""
    return f"{name}data: {json.dumps(data)}\n\n"


def openai_chunks(request):
    def chunk(delta, finish=None):
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "up", "choices": [choice]}

    yield chunk({"role": "assistant", "content": ""})
    if request.get("tools"):
        function = {"name": "get_weather", "arguments": ""}
        yield chunk({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]})
        for piece in ARGUMENTS:
            yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
        yield chunk({}, "tool_calls")
    else:
        for piece in TEXT:
            yield chunk({"content": piece})
        yield chunk({}, "stop")
    usage = {"prompt_tokens": USAGE["input"], "completion_tokens": USAGE["output"], "total_tokens": 17}
    yield {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "up", "choices": [], "usage": usage}


def openai_whole(request):
    message = {"role": "assistant", "content": "".join(TEXT), "refusal": None}
    finish = "stop"
    if request.get("tools"):
        function = {"name": "get_weather", "arguments": "".join(ARGUMENTS)}
        message |= {"content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": function}]}
        finish = "tool_calls"
    usage = {"prompt_tokens": USAGE["input"], "completion_tokens": USAGE["output"], "total_tokens": 17}
    choices = [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}]
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 7, "model": "up", "choices": choices, "usage": usage}


def anthropic_blocks(request):
    if request.get("tools"):
        return [{"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}}], "tool_use"
    return [{"type": "text", "text": "".join(TEXT)}], "end_turn"


def anthropic_whole(request):
    blocks, stop = anthropic_blocks(request)
    usage = {"input_tokens": 10, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 0, "output_tokens": 5}
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "up"}
    return head | {"content": blocks, "stop_reason": stop, "stop_sequence": None, "usage": usage}


def anthropic_events(request):
    whole = anthropic_whole(request)
    block = whole["content"][0]
    start = whole | {"content": [], "stop_reason": None, "usage": whole["usage"] | {"output_tokens": 1}}
    yield {"type": "message_start", "message": start}
    empty = {"text": ""} if block["type"] == "text" else {"input": {}}
    yield {"type": "content_block_start", "index": 0, "content_block": block | empty}
    yield {"type": "ping"}
    for piece in TEXT if block["type"] == "text" else ARGUMENTS:
        delta = {"type": "text_delta", "text": piece}
        if block["type"] == "tool_use":
            delta = {"type": "input_json_delta", "partial_json": piece}
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 5}}
    yield {"type": "message_stop"}


def gemini(parts, last):
    candidate = {"content": {"role": "model", "parts": parts}, "index": 0}
    answer = {"candidates": [candidate], "responseId": "r1", "modelVersion": "up"}
    if last:
        candidate["finishReason"] = "STOP"
        counts = {"promptTokenCount": USAGE["input"], "candidatesTokenCount": 3, "thoughtsTokenCount": 2}
        answer["usageMetadata"] = counts | {"totalTokenCount": 17}
    return answer


def gemini_chunks(request):
    if request.get("tools"):
        yield gemini([{"functionCall": {"name": "get_weather", "args": {"city": "Paris"}}}], True)
        return
    for number, piece in enumerate(TEXT):
        yield gemini([{"text": piece}], number == len(TEXT) - 1)


def gemini_whole(request):
    if request.get("tools"):
        return next(gemini_chunks(request))
    return gemini([{"text": "".join(TEXT)}], True)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.heard.append((self.path, dict(self.headers), request))
        if "overloaded" in json.dumps(request):
            error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
            self.answer(529, "application/json", json.dumps(error))
        elif self.path.endswith("/chat/completions"):
            self.openai(request)
        elif self.path.endswith(("/count_tokens", "/count-tokens:rawPredict")):
            self.answer(200, "application/json", json.dumps({"input_tokens": 12}))
        elif self.path.endswith("/messages") or "/publishers/anthropic/" in self.path:
            self.anthropic(request)
        elif "streamGenerateContent" in self.path:
            self.answer(200, "text/event-stream", "".join(map(sse, gemini_chunks(request))))
        elif "generateContent" in self.path:
            self.answer(200, "application/json", json.dumps(gemini_whole(request)))
        else:
            self.answer(404, "application/json", '{"detail":"Not Found"}')

    def do_GET(self):
        """Google's metadata server, as far as tokens need it."""
        self.server.tokens_given += 1
        token = {"access_token": "token-of-the-metadata-server", "expires_in": 3600, "token_type": "Bearer"}
        self.answer(200, "application/json", json.dumps(token), {"metadata-flavor": "Google"})

    def openai(self, request):
        if request.get("stream"):
            self.answer(200, "text/event-stream", "".join(map(sse, openai_chunks(request))) + "data: [DONE]\n\n")
        else:
            self.answer(200, "application/json", json.dumps(openai_whole(request)))

    def anthropic(self, request):
        if request.get("stream"):
            events = "".join(sse(event, event["type"]) for event in anthropic_events(request))
            self.answer(200, "text/event-stream", events)
        else:
            self.answer(200, "application/json", json.dumps(anthropic_whole(request)))

    def answer(self, status, content_type, text, headers=None):
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def start():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.heard = []
    server.tokens_given = 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def catalog(port):
    base = f"http://127.0.0.1:{port}"
    vertex = f'provider = "vertex"\nurl = "{base}"\nproject = "p"\nlocation = "global"\n'
    deployments = {
        "openai": f'url = "{base}/v1"\n',
        "anthropic": f'provider = "anthropic"\nurl = "{base}/v1"\n',
        "gemini": vertex,
        "gemini-openai": vertex + 'vertex_api = "openai"\n',
        "claude-vertex": vertex + 'publisher = "anthropic"\n',
    }
    key = 'api_key_env = "PROVIDER_KEY"\n'
    deployments = {name: text + key for name, text in deployments.items()}
    deployments["gemini-adc"] = vertex
    price = "input_usd_per_million = 1\noutput_usd_per_million = 2\n"
    return "".join(
        f'[[model]]\nname = "{name}"\n[[model.deployment]]\nname = "{name}-1"\nupstream_model = "up"\n'
        f"{text}{price}"
        for name, text in deployments.items()
    )

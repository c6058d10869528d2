"""The official OpenAI and Anthropic clients, talking to Tandem in front of each provider."""

import anthropic
import openai
import pytest

import providers

MODELS = ["openai", "anthropic", "gemini", "gemini-openai", "claude-vertex"]
CLAUDES = ["anthropic", "claude-vertex"]
TEXT = "".join(providers.TEXT)
HELLO = [{"role": "user", "content": "Hi"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
OPENAI_TOOL = {"type": "function", "function": {"name": "get_weather", "description": "d", "parameters": SCHEMA}}
RESPONSES_TOOL = {"type": "function", "name": "get_weather", "description": "d", "parameters": SCHEMA, "strict": False}
CLAUDE_TOOL = {"name": "get_weather", "description": "d", "input_schema": SCHEMA}


@pytest.fixture
def openai_client(providers_site):
    return openai.OpenAI(base_url=providers_site["url"] + "/v1", api_key=providers_site["key"], max_retries=0)


@pytest.fixture
def claude_client(providers_site):
    return anthropic.Anthropic(base_url=providers_site["url"], api_key=providers_site["key"], max_retries=0)


@pytest.mark.parametrize("model", MODELS)
def test_a_chat(openai_client, model):
    raw = openai_client.chat.completions.with_raw_response.create(model=model, messages=HELLO, max_tokens=50)

    answer = raw.parse()
    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (12, 5)
    assert raw.headers["x-tandem-model"] == model
    assert raw.headers["x-tandem-deployment"] == model + "-1"
    assert raw.headers["x-tandem-attempts"] == "1"
    assert float(raw.headers["x-tandem-cost-usd"]) == pytest.approx(22e-6)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}], ids=["plain", "usage"])
def test_a_streamed_chat(openai_client, model, options):
    chunks = list(openai_client.chat.completions.create(model=model, messages=HELLO, max_tokens=50, stream=True, **options))

    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == TEXT
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "stop"
    usages = [chunk.usage for chunk in chunks if chunk.usage]
    assert [(usage.prompt_tokens, usage.completion_tokens) for usage in usages] == ([(12, 5)] if options else [])


@pytest.mark.parametrize("model", MODELS)
def test_a_tool_is_called(openai_client, model):
    answer = openai_client.chat.completions.create(model=model, messages=HELLO, tools=[OPENAI_TOOL])

    (call,) = answer.choices[0].message.tool_calls
    assert (call.function.name, call.function.arguments.replace(" ", "")) == ("get_weather", '{"city":"Paris"}')
    assert answer.choices[0].finish_reason == "tool_calls"
    again = HELLO + [
        answer.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    assert openai_client.chat.completions.create(model=model, messages=again).choices[0].message.content == TEXT


@pytest.mark.parametrize("model", MODELS)
def test_a_tool_is_called_in_a_stream(openai_client, model):
    with openai_client.chat.completions.stream(model=model, messages=HELLO, tools=[OPENAI_TOOL]) as stream:
        answer = stream.get_final_completion()

    (call,) = answer.choices[0].message.tool_calls
    assert (call.function.name, call.function.arguments.replace(" ", "")) == ("get_weather", '{"city":"Paris"}')


@pytest.mark.parametrize("model", MODELS)
def test_a_response(openai_client, model):
    response = openai_client.responses.create(model=model, input="Hi", store=False)

    assert response.output_text == TEXT
    assert (response.status, response.usage.input_tokens, response.usage.output_tokens) == ("completed", 12, 5)


@pytest.mark.parametrize("model", MODELS)
def test_a_streamed_response(openai_client, model):
    with openai_client.responses.stream(model=model, input="Hi", tools=[RESPONSES_TOOL], store=False) as stream:
        kinds = [event.type for event in stream]
        response = stream.get_final_response()

    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
    (call,) = [item for item in response.output if item.type == "function_call"]
    assert call.arguments.replace(" ", "") == '{"city":"Paris"}'


@pytest.mark.parametrize("model", MODELS)
def test_a_message(claude_client, model):
    message = claude_client.messages.create(model=model, max_tokens=50, system="Be kind.", messages=HELLO)

    assert message.content[0].text == TEXT
    assert message.stop_reason == "end_turn"
    used = message.usage
    assert used.input_tokens + (used.cache_read_input_tokens or 0) + (used.cache_creation_input_tokens or 0) == 12
    assert used.output_tokens == 5


@pytest.mark.parametrize("model", MODELS)
def test_a_streamed_message(claude_client, model):
    with claude_client.messages.stream(model=model, max_tokens=50, messages=HELLO) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()

    assert (text, message.stop_reason, message.usage.output_tokens) == (TEXT, "end_turn", 5)


@pytest.mark.parametrize("model", MODELS)
def test_a_tool_is_used_in_a_streamed_message(claude_client, model):
    with claude_client.messages.stream(model=model, max_tokens=50, messages=HELLO, tools=[CLAUDE_TOOL]) as stream:
        message = stream.get_final_message()

    (block,) = [block for block in message.content if block.type == "tool_use"]
    assert (block.name, block.input, message.stop_reason) == ("get_weather", {"city": "Paris"}, "tool_use")


@pytest.mark.parametrize("model", CLAUDES)
def test_tokens_are_counted_where_the_provider_can(claude_client, model):
    assert claude_client.messages.count_tokens(model=model, messages=HELLO).input_tokens == 12


def test_tokens_are_not_counted_where_the_provider_cannot(claude_client):
    with pytest.raises(anthropic.NotFoundError):
        claude_client.messages.count_tokens(model="gemini", messages=HELLO)


def test_the_providers_key_goes_to_the_provider_and_the_callers_does_not(providers_site, openai_client, claude_client):
    for model in MODELS:
        openai_client.chat.completions.create(model=model, messages=HELLO)
    claude_client.messages.create(model="anthropic", max_tokens=5, messages=HELLO)

    for path, headers, _ in providers_site["provider"].heard:
        assert providers_site["key"] not in str(headers), path
        assert not [name for name in headers if name.lower().startswith(("x-tandem", "traceparent", "x-request-id"))]
        key = headers.get("authorization") or headers.get("x-api-key")
        assert key in ("Bearer provider-key", "provider-key"), path


def test_googles_token_comes_from_the_metadata_server_and_is_kept(providers_site, openai_client):
    provider = providers_site["provider"]
    for _ in range(3):
        assert openai_client.chat.completions.create(model="gemini-adc", messages=HELLO).choices[0].message.content == TEXT

    keys = [headers.get("authorization") for _, headers, _ in provider.heard[-3:]]
    assert keys == ["Bearer token-of-the-metadata-server"] * 3
    assert provider.tokens_given == 1


def test_what_a_provider_has_no_words_for_is_a_clear_400(openai_client):
    with pytest.raises(openai.BadRequestError) as refused:
        openai_client.chat.completions.create(model="anthropic", messages=HELLO, n=2)

    assert refused.value.param == "n"
    with pytest.raises(openai.BadRequestError) as refused:
        openai_client.responses.create(model="anthropic", input="Hi", previous_response_id="resp_1")
    assert refused.value.param == "previous_response_id"


def test_errors_are_told_in_the_words_of_the_callers_api(providers_site, claude_client):
    with pytest.raises(anthropic.NotFoundError) as refused:
        claude_client.messages.create(model="nope", max_tokens=5, messages=HELLO)
    assert refused.value.body["error"]["type"] == "not_found_error"

    stranger = anthropic.Anthropic(base_url=providers_site["url"], api_key="nope", max_retries=0)
    with pytest.raises(anthropic.AuthenticationError) as refused:
        stranger.messages.create(model="anthropic", max_tokens=5, messages=HELLO)
    assert refused.value.body["error"]["type"] == "authentication_error"

    with pytest.raises(anthropic.APIStatusError) as refused:
        claude_client.messages.create(
            model="anthropic", max_tokens=5, messages=[{"role": "user", "content": "overloaded"}]
        )
    assert refused.value.status_code == 503
    assert refused.value.body["error"]["type"] == "overloaded_error"

"""A tool that offers what the conformance runner of MCP asks for."""

import base64
import json

import gevent

from toolserver import (
    Audio,
    Document,
    Image,
    StandardTool,
    limit,
    progress,
    prompt,
    register,
    resource,
)

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAA"
    "AABJRU5ErkJggg=="
)


@register("")
class Everything(StandardTool):
    def test_simple_text(self) -> str:
        """Answers with text."""
        return "This is a simple text response for testing."

    def test_image_content(self) -> Image:
        """Answers with a picture."""
        return Image(PNG)

    def test_audio_content(self) -> Audio:
        return Audio(b"RIFF....WAVE")

    def test_embedded_resource(self) -> Document:
        return Document(
            "test://embedded-resource", "This is an embedded resource content."
        )

    def test_multiple_content_types(self) -> list[str | Image | Document]:
        return [
            "Multiple content types test:",
            Image(PNG),
            Document(
                "test://mixed-content-resource",
                '{"test":"data","value":123}',
                "application/json",
            ),
        ]

    def test_error_handling(self) -> None:
        raise RuntimeError("This tool intentionally returns an error for testing")

    def test_tool_with_progress(self) -> str:
        for each in (0.0, 0.5, 1.0):
            progress(each)
            gevent.sleep(0.05)
        return "done"

    def test_tool_with_logging(self) -> str:
        for text in (
            "Tool execution started",
            "Tool processing data",
            "Tool execution completed",
        ):
            self.log.info(text)
            gevent.sleep(0.05)
        return "done"

    def test_logging_tool(self) -> str:
        return self.test_tool_with_logging()

    def greet(self, name: str) -> str:
        return f"Hello, {name}!"

    @limit(timeout=600)
    def slow_compute(self, seconds: float, label: str = "") -> str:
        gevent.sleep(seconds)
        return f"{label} took {seconds:g} seconds"

    @limit(timeout=600)
    def failing_job(self) -> str:
        raise RuntimeError("This job intentionally fails")

    @prompt
    def test_simple_prompt(self) -> str:
        return "This is a simple prompt for testing."

    @prompt
    def test_prompt_with_arguments(self, arg1: str, arg2: str) -> str:
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    @prompt
    def test_prompt_with_embedded_resource(
        self, resourceUri: str
    ) -> list[str | Document]:
        return [
            Document(resourceUri, "Embedded resource content for testing."),
            "Please process the embedded resource above.",
        ]

    @prompt
    def test_prompt_with_image(self) -> list[str | Image]:
        return [Image(PNG), "Please analyze the image above."]

    @resource("test://static-text")
    def static_text(self) -> str:
        return "This is the content of the static text resource."

    @resource("test://static-binary", media_type="image/png")
    def static_binary(self) -> bytes:
        return PNG

    @resource("test://template/{id}/data", media_type="application/json")
    def template(self, id: str) -> str:
        told = {"id": id, "templateTest": True, "data": f"Data for ID: {id}"}
        return json.dumps(told)

"""FastAPI on uvicorn with uvloop and httptools: the benchmark's tool, its way."""

import sys

import uvicorn
from fastapi import Body, FastAPI
from pydantic import BaseModel

app = FastAPI()


class Record(BaseModel):
    id: int
    name: str
    email: str
    price: float
    quantity: int
    active: bool
    tags: list[str]
    note: str
    rank: int
    ratio: float


@app.get("/hello")
async def hello() -> str:
    return "Hello World!"


@app.post("/echo")
async def echo(text: str = Body(embed=True)) -> str:
    return text


@app.post("/echo_records")
async def echo_records(records: list[Record]) -> list[Record]:
    return records


uvicorn.run(
    app,
    port=int(sys.argv[1]),
    loop="uvloop",
    http="httptools",
    access_log=False,
    log_level="warning",
)

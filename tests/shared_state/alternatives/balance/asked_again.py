"""No lock: who finds the balance changed meanwhile asks the bank again."""

# exercise: shared_state/balance
import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request


class Bank:
    """What must be asked before a balance changes: given the balance, it takes a moment. Not ours to change."""

    async def confirm(self, balance: int) -> None:
        await asyncio.sleep(0.02)

    def allow(self, balance: int) -> None:  # an old SDK, synchronous
        time.sleep(0.02)


@dataclass
class Account:
    balance: int = 100
    bank: Bank = field(default_factory=Bank)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    yield {"account": Account()}


app = FastAPI(lifespan=lifespan)


@app.get("/ping")
async def ping() -> str:
    return "pong"


@app.get("/balance")
async def read_balance(request: Request) -> int:
    return request.state.account.balance


@app.post("/deposit")
async def deposit(request: Request) -> None:
    account = request.state.account
    balance = None
    while balance != account.balance:
        balance = account.balance
        await account.bank.confirm(balance)
    account.balance += 1


@app.post("/withdraw")
async def withdraw(request: Request) -> None:
    account = request.state.account
    balance = None
    while balance != account.balance:
        balance = account.balance
        await asyncio.to_thread(account.bank.allow, balance)
    account.balance -= 3

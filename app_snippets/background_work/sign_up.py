"""A sign-up that answers at once, and sends the welcome mail afterwards."""

import os
import smtplib
from email.message import EmailMessage

from fastapi import BackgroundTasks, FastAPI

app = FastAPI()


def send_welcome(address: str) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "us@example.org", address, "Welcome"
    message.set_content("Good to have you here.")
    host, port = os.environ["MAIL_HOST"], int(os.environ["MAIL_PORT"])
    with smtplib.SMTP(host, port, local_hostname="app.example", timeout=10) as smtp:
        smtp.send_message(message)


@app.post("/sign-up-and-wait/{address}", status_code=201)
def sign_up_and_wait(address: str) -> str:
    send_welcome(address)
    return "welcome"


@app.post("/sign-up/{address}", status_code=201)
async def sign_up(address: str, tasks: BackgroundTasks) -> str:
    tasks.add_task(send_welcome, address)  # send_welcome is a def: it will run in a worker thread
    return "welcome"

"""Mail over SMTP."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from urllib.parse import urlsplit

from mlops.monitoring.alerts.notice import Notice
from mlops.monitoring.alerts.routes.base import TIMEOUT, Refused, secret

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Mail:
    """One mail a notice.

    Args:
        url: ``smtp://HOST:PORT`` (TLS is started where the server offers it) or ``smtps://HOST:PORT``.
        sender, to: Addresses.
        user: Name at the server; empty: none is asked for.
        password: Reference to the password; it is never sent in clear to another machine.
    """

    def __init__(
        self, url: str, sender: str, to: tuple[str, ...], user: str = "", password: str = ""
    ) -> None:
        self._at = urlsplit(url)
        self._sender, self._to, self._user, self._password = sender, to, user, password

    def send(self, notice: Notice) -> None:
        """Deliver to the server; the Message-ID is the key of the notice."""
        message = EmailMessage()
        message["Subject"] = " ".join(notice.title.split())
        message["From"], message["To"] = self._sender, ", ".join(self._to)
        message["Message-ID"] = f"<{notice.key}@modelyard.invalid>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(f"{notice.text}\n")
        try:
            with self._server() as server:
                server.send_message(message)
        except (OSError, smtplib.SMTPException) as error:
            number = getattr(error, "smtp_code", "")
            raise Refused(f"no mail ({type(error).__name__}{f' {number}' if number else ''})") from None

    def _server(self) -> smtplib.SMTP:
        host, secure = self._at.hostname or "", self._at.scheme == "smtps"
        context = ssl.create_default_context()
        server: smtplib.SMTP
        if secure:
            server = smtplib.SMTP_SSL(host, self._at.port or 465, timeout=TIMEOUT, context=context)
        else:
            server = smtplib.SMTP(host, self._at.port or 25, timeout=TIMEOUT)
        try:
            server.ehlo()
            if not secure and server.has_extn("starttls"):
                server.starttls(context=context)
                server.ehlo()
                secure = True
            if self._user:
                if not secure and host not in _LOOPBACK:
                    raise Refused("the mail server offers no TLS: the password stays here")
                server.login(self._user, secret(self._password))
        except BaseException:
            server.close()
            raise
        return server

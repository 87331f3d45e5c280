"""The rehearsal's certificates stand up to the strict check of X.509 (RFC 5280) that Python 3.13 makes by default."""

import socket
import ssl
import threading
from pathlib import Path

import pytest

from pedseg.federation.deployment.superlink import make_certificates


def serve_once(listener: socket.socket, folder: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    connection, _ = listener.accept()
    try:
        context.wrap_socket(connection, server_side=True).close()
    except (ssl.SSLError, ConnectionError):  # the client hung up
        connection.close()


def handshake(folder: Path, authority: Path) -> str | None:
    """The TLS version that a strict client of an authority and the folder's server agree on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve_once, args=(listener, folder))
        server.start()
        try:
            context = ssl.create_default_context(cafile=authority)
            context.verify_flags |= ssl.VERIFY_X509_STRICT
            with (
                socket.create_connection(listener.getsockname()) as connection,
                context.wrap_socket(connection, server_hostname="localhost") as secured,
            ):
                return secured.version()
        finally:
            server.join()


def test_a_strict_client_trusts_the_server(tmp_path):
    make_certificates(tmp_path)
    assert handshake(tmp_path, tmp_path / "ca.crt") == "TLSv1.3"


def test_a_client_of_another_authority_does_not(tmp_path):
    ours, others = tmp_path / "ours", tmp_path / "others"
    for folder in (ours, others):
        folder.mkdir()
        make_certificates(folder)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(ours, others / "ca.crt")

"""A federation over Flower's SuperLink and SuperNodes, with TLS and a key for every center.

Here all of it runs on this machine and on loopback: the same programs, certificates, keys and options as between
hospitals, as a rehearsal. Between hospitals the SuperLink stands behind a proxy that publishes the fleet path alone
(docs/superlink.md says why and how).
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from flwr.app import UserConfigValue

from pedseg import processes
from pedseg.datasets.reading import center_folders, read_dataset
from pedseg.errors import input_error
from pedseg.federation.checkpoints import Round
from pedseg.federation.config import FederationConfig
from pedseg.federation.deployment import flower_programs
from pedseg.files import write_atomically

DAYS = 30
RUN_LOG, LOGS = "run.log", "disclosure_logs"  # left beside the model
KEYLESS = NoEncryption()


def superlink_rounds(config: FederationConfig) -> Iterator[Round]:
    """The rounds of a federation over a SuperLink as their checkpoints appear under `config.out`.

    Starts a SuperLink and one SuperNode for each data set, on free ports of this machine, and ends them with the run.
    Leaves the run's log and each center's disclosure log under `out`. Raises `PedsegInputError` with the end of the
    log when the run fails.
    """
    config, out, folders = flower_programs.with_full_paths(config), config.output_folder(), center_folders(config.data)
    with ExitStack() as stack:
        home = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="pedseg-superlink-", ignore_cleanup_errors=True))
        )
        make_certificates(home)
        env, port = stack.enter_context(superlink(home))
        for index, folder in enumerate(folders):
            key, center = make_node_key(home, f"node{index}"), read_dataset(folder).center
            register(key.with_suffix(".pub"), center, env)
            log_file = (out / LOGS / f"{center}.tsv").resolve().as_posix()
            node_config = {"keys": config.keys.as_posix(), "disclosure-log": log_file}
            stack.enter_context(supernode(home, port, key, index, folder, node_config))
        before = flower_programs.modification_times(out)
        run_id = flower_programs.submit(home, config, env)
        status = yield from flower_programs.follow_run(run_id, env, out, before, config.rounds, set())
        log = flower_programs.log_of(run_id, env)
        write_atomically(
            out / RUN_LOG, flower_programs.last_lines(log, number=1000).replace(str(home), "HOME").encode()
        )
        if status != flower_programs.COMPLETED:
            problem = f"the run ended as {status}.\n{flower_programs.last_lines(log)}"
            raise input_error("E-SUPERLINK-RUN", out, problem, flower_programs.REMEDY)


def make_certificates(home: Path, address: str = processes.HOST) -> None:
    """An authority of our own (ca.crt) and a server's certificate for an address (server.pem, server.key)."""
    authority, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer, subject = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("pedseg rehearsal", "localhost")
    )
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    root = _certificate(issuer, issuer, authority)
    root = root.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).add_extension(usage, True)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(address))]
    leaf = _certificate(subject, issuer, server)
    leaf = leaf.add_extension(x509.SubjectAlternativeName(names), False)
    leaf = leaf.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
    leaf = leaf.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
    leaf = leaf.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), False)
    (home / "ca.crt").write_bytes(root.sign(authority, hashes.SHA256()).public_bytes(Encoding.PEM))
    (home / "server.pem").write_bytes(leaf.sign(authority, hashes.SHA256()).public_bytes(Encoding.PEM))
    _write_private(home / "server.key", server.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, KEYLESS))


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())  # Python 3.13 asks for the identifier of the key
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    start, end = now - datetime.timedelta(minutes=5), now + datetime.timedelta(days=DAYS)
    return builder.not_valid_before(start).not_valid_after(end)


def make_node_key(home: Path, name: str) -> Path:
    """A center's key for its SuperNode, as `ssh-keygen -t ecdsa -b 384` makes it: NAME and NAME.pub."""
    key, file = ec.generate_private_key(ec.SECP384R1()), home / name
    _write_private(file, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, KEYLESS))
    file.with_suffix(".pub").write_bytes(key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
    return file


def _write_private(file: Path, content: bytes) -> None:
    file.touch(mode=0o600)
    file.write_bytes(content)


def register(public: Path, center: str, env: dict[str, str]) -> None:
    """Register the key of a center at the SuperLink, which lets in no other."""
    answer = flower_programs.flwr(["supernode", "register", str(public), "--name", center], env)
    if not answer.get("success"):
        raise input_error("E-SUPERLINK-KEY", center, f"its key was not taken: {answer}.", flower_programs.REMEDY)


@contextmanager
def superlink(home: Path) -> Iterator[tuple[dict[str, str], int]]:
    """A SuperLink with TLS that knows its centers by their keys; gives the environment for `flwr`, and its port."""
    options = ["--ssl-ca-certfile", "ca.crt", "--ssl-certfile", "server.pem", "--ssl-keyfile", "server.key"]
    options += ["--enable-supernode-auth", "--database", "state.db"]
    certificate = (home / "ca.crt").as_posix()
    with flower_programs.superlink(home, options, **{"root-certificates": certificate}) as link:
        yield link


@contextmanager
def supernode(
    home: Path, port: int, key: Path, index: int, data: Path, node_config: Mapping[str, UserConfigValue]
) -> Iterator[subprocess.Popen]:
    """A center's SuperNode: it calls out to the SuperLink and trains on the data set in `data`.

    `node_config` holds further settings of this node, such as `noise-multiplier`.
    """
    folder = home / f"home-{key.name}"
    folder.mkdir()
    settings = {"partition-id": index, "data-dir": data.resolve().as_posix(), **node_config}
    config = " ".join(f"{name}={json.dumps(value)}" for name, value in settings.items())
    command = [flower_programs.program("flower-supernode"), "--root-certificates", str(home / "ca.crt")]
    command += ["--superlink", f"{processes.HOST}:{port}", "--node-config", config]
    command += ["--auth-supernode-private-key", str(key)]
    command += ["--host", processes.HOST, "--port", str(processes.free_port())]
    log, env = home / f"{key.name}.log", flower_programs.environment(folder)
    with processes.running(command, log, env=env, folder=folder) as process:
        yield process

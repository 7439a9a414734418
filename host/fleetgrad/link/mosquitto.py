# SPDX-License-Identifier: Apache-2.0
"""Mosquitto's files: who may come in, and to which topics."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping

# mosquitto.conf's own format 7: PBKDF2-HMAC-SHA512, as mosquitto_passwd writes it.
_ITERATIONS = 101
_KEY_BYTES = 64
SALT_BYTES = 12


def password_line(user: str, password: str, salt: bytes) -> str:
    """One line of a password file.

    Args:
        user: Without a colon.
        password: In clear; only a hash of it is in the line.
        salt: `SALT_BYTES` random bytes.
    """
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS, _KEY_BYTES)
    salted, hashed = (base64.b64encode(part).decode() for part in (salt, key))
    return f"{user}:$7${_ITERATIONS}${salted}${hashed}"


def access_list(users: Mapping[str, Mapping[str, str]], patterns: Mapping[str, str]) -> str:
    """An ACL file.

    Args:
        users: What single users may do: ``read``, ``write`` or ``readwrite`` by topic.
        patterns: What every user may do; ``%u`` in a topic stands for the user.
    """
    lines = ["# Made by fleetgrad mqtt acl. %u is the user that a client came in as."]
    for user, rights in users.items():
        lines += [f"user {user}", *(f"topic {access} {topic}" for topic, access in rights.items())]
    lines += ["", *(f"pattern {access} {topic}" for topic, access in patterns.items())]
    return "\n".join(lines) + "\n"


def password_file(lines: Iterable[str]) -> str:
    """A password file."""
    return "".join(f"{line}\n" for line in lines)

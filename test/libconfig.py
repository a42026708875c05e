# SPDX-License-Identifier: BSD-2-Clause
"""Configurations as text."""


def setting(value):
    """A value in libconfig's syntax."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}L" if value > 2 ** 31 - 1 else str(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(setting, value)) + "]"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'

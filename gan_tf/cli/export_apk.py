"""`gan-tf export RUN [RUN ...] --format apk`: writes the web app as an Android package."""

import getpass
import os
import sys

from gan_tf.cli.export_web import write_app
from gan_tf.errors import UsageError
from gan_tf.io.files import user_path


def export_package(options, out) -> int:
    """Writes the file `out` and prints its properties. Returns the exit code."""
    from gan_tf.export.android import build_apk, check_app_id
    from gan_tf.export.android_tools import find_tools
    from gan_tf.export.formats import check_output, output

    app_id = options.app_id and check_app_id(options.app_id)
    check_output(out, options.overwrite)
    tools = find_tools()
    key = signing_key(options, tools)
    with output(out) as part:
        site = part.with_name("site")
        write_app(options, site)
        package = build_apk(site, part, app_id, key, tools)
    signer = options.key or f"the debug key of this machine, {key.path}"
    print(
        f"{out}: {package.bytes / 1e6:.1f} MB\n"
        f"  application {package.app_id}, version code {package.version_code}\n"
        f"  signed with {signer}; SHA-256 of the certificate {package.certificate}"
    )
    return 0


def signing_key(options, tools):
    """Returns the Key of --key, whose password is that of the environment or typed by the user, or the debug key.

    Raises:
        UsageError: there is no such file, or no password and no terminal.
    """
    from gan_tf.export.android import KEY_PASSWORD, debug_key, user_key

    if options.key is None:
        return debug_key(tools)
    path = user_path(options.key)
    if not path.is_file():
        raise UsageError(f"--key {path} is not a file; give a keystore, such as one that keytool -genkeypair made")
    password = os.environ.get(KEY_PASSWORD)
    if password is None and not sys.stdin.isatty():
        raise UsageError(f"--key {path} needs its password: set {KEY_PASSWORD}, or start the command in a terminal")
    return user_key(path, getpass.getpass(f"Password of {path}: ") if password is None else password, tools)

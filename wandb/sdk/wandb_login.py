"""`wandb.login()`: have an API key for a server, for this process and, if it is a new one, for later ones.

The key is the argument, or else what is found in WANDB_API_KEY, the settings or the netrc file, or else what
a person types.  A key that was given or typed is kept in the netrc file.

Rule 1: offline and disabled modes contact nothing and ask nothing.
Rule 2: without a terminal nothing is asked.
Rule 3: a key is shown nowhere, and is refused before it is sent if its form is wrong.
"""

from __future__ import annotations

import sys
from typing import Optional, Tuple

from wandb import credentials, settings_file, term
from wandb.errors import AuthenticationError, CommError, UsageError
from wandb.sdk import active, wandb_setup
from wandb.sdk.wandb_settings import DEFAULT_BASE_URL, Settings, check

ASKED_AT_MOST = 3  # times, until a key of the right form is typed


def login(
    key: Optional[str] = None,
    relogin: Optional[bool] = None,
    host: Optional[str] = None,
    force: Optional[bool] = None,
    timeout: Optional[float] = None,
    verify: Optional[bool] = None,
    referrer: Optional[str] = None,
    prompt: bool = True,
    anonymous: Optional[str] = None,
) -> bool:
    """Have credentials for a server.

    Args:
        key: The API key, which is kept in the netrc file; None or nothing looks for one.
        relogin: Ask a person for a key even if one is configured.
        host: The server's URL; kept in the global settings file as `base_url`.
        force: A person may not answer with nothing, which means to go on offline.
        timeout: Seconds to wait for a person; after that the process goes on disabled.
        verify: Ask the server whether it knows the key, with one request.  True: always, and being unable
            to ask is an error.  None: only about a new key, and being unable to ask is a warning.
            False: never.
        referrer: Without effect.
        prompt: Whether a person may be asked at all.
        anonymous: Without effect.

    Returns:
        True if the process has credentials now.  False in offline and disabled mode, after `init()`, and
        where nobody could or would give a key.

    Raises:
        AuthenticationError: The server refused the key, which was not kept.
        UsageError: The key has a wrong form; or there is none, and no terminal to ask at.
    """
    if anonymous is not None:
        term.termwarn("The anonymous parameter of wandb.login() has no effect.", repeat=False)
    if active.current is not None:
        term.termwarn("Calling wandb.login() after wandb.init() has no effect.")
        return False
    setup = wandb_setup.singleton()
    settings = setup.settings
    setup.tell_left_out()
    if settings.disabled:
        return False
    if settings._offline and not settings.x_cli_only_mode:
        term.termwarn("Unable to verify login in offline mode.")
        return False
    base_url = str(check("base_url", host, "host")) if host else settings.base_url
    relogin = settings.relogin if relogin is None else relogin
    force = settings.force if force is None else force
    timeout = settings.login_timeout if timeout is None else timeout

    key = key or None
    origin = "the argument"
    if key is None and not relogin:
        found = find_key(settings, base_url)
        if found is not None:
            key, origin = found
    is_new = key is None or origin == "the argument"
    if key is None:
        if not prompt:
            return False
        key = _ask(settings, base_url, force, timeout)
        if key is None:
            return False
    problem = credentials.key_problem(key)
    if problem:
        raise UsageError(f"{problem} (from {origin})", hint=f"keys are at {_keys_page(settings, base_url)}")

    account = None
    if verify or (verify is None and is_new):
        account = _verify(settings, base_url, key, must_answer=bool(verify))
    if is_new:
        path = credentials.netrc_path(setup.environ)
        credentials.write_netrc(path, base_url, key)
        term.termlog(f"Appending key for {credentials.host_of(base_url)} to your netrc file: {path}")
    setup.record_login(api_key=key)
    if host:
        setup.record_login(base_url=base_url)
        remember_host(setup, base_url)
    state = f"Currently logged in as: {account} to {base_url}" if account else "W&B API key is configured"
    term.termlog(f"{state}. Use `wandb login --relogin` to force relogin", repeat=False)
    return True


def find_key(settings: Settings, base_url: str) -> Optional[Tuple[str, str]]:
    """The key for a server and where it was found: environment, settings or netrc file; None if nowhere.

    Raises:
        UsageError: The netrc file cannot be parsed.
    """
    if settings.api_key and base_url == settings.base_url:
        source, _, detail = settings.explain("api_key")[0]
        return settings.api_key, detail or str(source)
    setup = wandb_setup.singleton()
    key = setup.environ.get("WANDB_API_KEY", "").strip()
    if key:
        return key, "WANDB_API_KEY"
    path = credentials.netrc_path(setup.environ)
    found = credentials.read_netrc(path, base_url)
    return (found, path) if found else None


def remember_host(setup: wandb_setup.Setup, base_url: str) -> None:
    """Make a server the user's own default, or with the public one, go back to it.

    Raises:
        UsageError: The global settings file cannot be changed.
    """
    path = settings_file.global_path(setup.environ)
    settings_file.edit(path, {"base_url": None if base_url == DEFAULT_BASE_URL else base_url})


def _verify(settings: Settings, base_url: str, key: str, must_answer: bool) -> Optional[str]:
    """The account that the server says the key belongs to; None if it says nothing and need not."""
    from wandb.apis.viewer import viewer

    try:
        who = viewer(base_url, key, any_certificate=settings.insecure_disable_ssl)
    except AuthenticationError as e:
        hint = "is it the key of this server?"
        raise AuthenticationError(f"{base_url} refused the API key", status=e.status, hint=hint) from e
    except CommError as e:
        if must_answer:
            raise AuthenticationError(f"Unable to verify the API key with {base_url}: {e.message}") from e
        term.termwarn(f"Unable to verify the API key with {base_url}: {e.message}")
        return None
    entity = f" ({who.entity})" if who.entity and who.entity != who.username else ""
    return f"{who.username}{entity}"


def _keys_page(settings: Settings, base_url: str) -> str:
    same = base_url == settings.base_url
    return (settings if same else Settings(base_url=base_url)).app_url + "/authorize"


def _ask(settings: Settings, base_url: str, force: bool, timeout_s: Optional[float]) -> Optional[str]:
    """A key that a person typed; None if nobody did, and the process goes on offline or disabled."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty()):
        raise UsageError(
            "No API key configured and no terminal to ask at: api_key not configured (no-tty)",
            hint="call wandb.login(key=[your_api_key]), set WANDB_API_KEY, or record with mode='offline'",
        )
    term.termlog(f"You can find your API key in your browser here: {_keys_page(settings, base_url)}")
    if not force:
        term.termlog("Press Enter without a key to go on offline.")
    for _ in range(ASKED_AT_MOST):
        key = _hidden_line("wandb: Paste an API key from your profile: ", timeout_s)
        if key is None:
            term.termwarn("W&B disabled due to login timeout.")
            wandb_setup.singleton().record_login(mode="disabled")
            return None
        if not key and not force:
            term.termlog("Using W&B in offline mode.")
            wandb_setup.singleton().record_login(mode="offline")
            return None
        problem = credentials.key_problem(key)
        if problem is None:
            return key
        term.termerror(problem)
    raise UsageError(
        "No API key of the right form was given", hint=f"keys are at {_keys_page(settings, base_url)}"
    )


def _hidden_line(prompt: str, timeout_s: Optional[float]) -> Optional[str]:
    """A line typed without echo; None if the time is over."""
    import getpass

    if timeout_s is None:
        return getpass.getpass(prompt, stream=sys.stderr).strip()
    import select

    sys.stderr.write(prompt)
    sys.stderr.flush()
    import termios

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    hidden = before[:3] + [before[3] & ~termios.ECHO] + before[4:]
    try:
        termios.tcsetattr(fd, termios.TCSAFLUSH, hidden)
        ready, _, _ = select.select([fd], [], [], timeout_s)
        return sys.stdin.readline().strip() if ready else None
    finally:
        termios.tcsetattr(fd, termios.TCSAFLUSH, before)
        sys.stderr.write("\n")

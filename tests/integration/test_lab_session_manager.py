# Copyright: policyproof contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The whole of Session Manager but the instances: moto's SSM API, the data channel, the client program, a local shell.

The shells run on this machine, without namespaces: no test here needs root.
"""

from __future__ import annotations

import hashlib
import json
import os
import pty
import shutil
import socket
import statistics
import subprocess
import threading
import time
from pathlib import Path

import boto3
import pytest
from ansible_collections.policyproof.ecr.lab.session_manager import plugin
from ansible_collections.policyproof.ecr.lab.session_manager.launcher import write_launcher
from ansible_collections.policyproof.ecr.lab.session_manager.server import DataChannelServer
from ansible_collections.policyproof.ecr.lab.session_manager.shell import Shell
from ansible_collections.policyproof.ecr.lab.settings import Settings
from ansible_collections.policyproof.ecr.tests.support.conversation import PROGRAM, Conversation, eventually
from botocore.exceptions import ClientError
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

ACCOUNT, REGION = "123456789012", "us-east-1"


class LocalInstances:
    """Instances whose shells are this machine's."""

    def __init__(self) -> None:
        self.stopped: set[str] = set()
        self.known: set[str] = set()

    def connected(self, instance_id: str) -> bool:
        """Whether the instance is known and not stopped."""
        return instance_id in self.known - self.stopped

    def open_shell(self, instance_id: str) -> Shell:
        """A shell of this machine's."""
        if not self.connected(instance_id):
            raise LookupError(instance_id)
        master, slave = pty.openpty()
        environment = {"PATH": os.environ["PATH"], "TERM": "dumb", "LANG": "C.UTF-8", "INSTANCE_ID": instance_id}
        bash = ["setsid", "--ctty", "--wait", "bash", "--noprofile", "--norc", "-i"]
        return Shell(master, slave, bash, environment)


class QuietHandler(WSGIRequestHandler):
    """Prints no requests."""

    def log(self, type: str, message: str, *args: object) -> None:
        """Nothing."""


class Lab:
    """moto with the session actions, and six instances."""

    def __init__(self, state: Path) -> None:
        self.instances = LocalInstances()
        self._aws = make_server(
            "127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True, request_handler=QuietHandler
        )
        channel = socket.create_server(("127.0.0.1", 0))
        self.settings = Settings(state, REGION, ACCOUNT, self._aws.server_port, 1, channel.getsockname()[1])
        self.server = DataChannelServer(self.settings, channel, self.instances)
        self._thread = threading.Thread(target=self._aws.serve_forever)
        self._thread.start()
        self.server.start()
        self.ssm, self.ec2 = self.client("ssm"), self.client("ec2")
        run = self.ec2.run_instances(ImageId="ami-12c6146b", MinCount=6, MaxCount=6)
        self.ids = sorted(instance["InstanceId"] for instance in run["Instances"])
        self.instances.known = set(self.ids)

    def client(self, service: str):
        """A boto3 client."""
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.settings.aws_endpoint,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def start_session(self, instance_id: str | None = None, **options: str) -> dict[str, str]:
        """StartSession's answer."""
        answer = self.ssm.start_session(Target=instance_id or self.ids[0], **options)
        return {key: answer[key] for key in ("SessionId", "TokenValue", "StreamUrl")}

    def close(self) -> None:
        """End everything."""
        self.ec2.terminate_instances(InstanceIds=self.ids)
        self.server.stop()
        self._aws.shutdown()
        self._thread.join()
        self._aws.server_close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    running = Lab(tmp_path_factory.mktemp("lab"))
    yield running
    running.close()


def test_a_session_as_aws_ssm_uses_it(lab):
    conversation = Conversation(lab.start_session(lab.ids[1]))
    conversation.prepare()
    conversation.say(
        b"printf '%s\\n' 'BEGIN' ;\necho | echo $INSTANCE_ID; (exit 3) ;\nprintf '\\n%s\\n%s\\n' \"$?\" 'END' ;\n"
    )
    conversation.until(b"BEGIN")
    answer = conversation.until(b"END")
    assert lab.ids[1].encode() in answer
    assert b"3\r\r\n" in answer
    status, errors, took = conversation.leave()
    assert (status, errors) == (0, b"")
    assert took < 2


def test_the_shell_is_wide(lab):
    conversation = Conversation(lab.start_session())
    conversation.prepare()
    conversation.say(b"stty size; echo END\n")
    assert b"100 300" in conversation.until(b"END")
    conversation.leave()


def test_much_output_comes_whole_and_in_order(lab):
    conversation = Conversation(lab.start_session())
    conversation.prepare()
    conversation.say(b"seq 1 60000; echo END\n")
    lines = conversation.until(b"END", timeout=60).replace(b"\r", b"").split()
    assert lines[:-1] == [b"%d" % number for number in range(1, 60001)]
    conversation.leave()


def test_much_input_arrives_whole(lab):
    conversation = Conversation(lab.start_session())
    conversation.prepare()
    text = b"".join(b"line %d\n" % number for number in range(10000))
    conversation.say(b"sha256sum << 'EOT'\n" + text + b"EOT\necho END\n")
    assert hashlib.sha256(text).hexdigest().encode() in conversation.until(b"END", timeout=60)
    conversation.leave()


def test_an_answer_does_not_wait_for_delayed_acknowledgements(lab):
    conversation = Conversation(lab.start_session())
    conversation.prepare()
    times = []
    for number in range(15):
        started = time.monotonic()
        conversation.say(b"echo answer-%d-\n" % number)
        conversation.until(b"answer-%d-" % number)
        times.append(time.monotonic() - started)
    conversation.leave()
    # Nagle's algorithm and a delayed acknowledgement cost 40 ms each time.
    assert statistics.median(times) < 0.03


def test_seventy_sessions_one_after_the_other_without_a_stall(lab):
    for number in range(70):
        conversation = Conversation(lab.start_session(lab.ids[number % 3]))
        conversation.prepare()
        conversation.say(b"echo answer-%d-\n" % number)
        conversation.until(b"answer-%d-" % number)
        status, errors, took = conversation.leave()
        assert (status, errors) == (0, b"")
        assert took < 5
    assert eventually(lambda: not lab.ssm.describe_sessions(State="Active")["Sessions"])


def test_sessions_side_by_side_stay_apart(lab):
    conversations = [Conversation(lab.start_session(instance_id)) for instance_id in lab.ids * 2]
    for conversation in conversations:
        conversation.prepare()
    for conversation in conversations:
        conversation.say(b"echo $INSTANCE_ID END\n")
    for conversation, instance_id in zip(conversations, lab.ids * 2, strict=True):
        assert instance_id.encode() in conversation.until(b"END")
        conversation.leave()


def test_the_program_ends_with_the_shell(lab):
    conversation = Conversation(lab.start_session())
    conversation.prepare()
    conversation.say(b"echo last words; exit\n")
    conversation.until(b"last words")
    conversation.until(b"Exiting session with sessionId")
    assert conversation.process.wait(5) == 0
    conversation.process.stdin.close()


def test_the_shell_ends_with_a_program_that_is_killed(lab):
    conversation = Conversation(lab.start_session())
    conversation.prepare()
    conversation.say(b"echo pid-$$-\n")
    conversation.until(b"pid-")
    pid = int(conversation.until(b"-").rstrip(b"-"))
    conversation.process.kill()
    conversation.process.wait()
    assert eventually(lambda: not Path(f"/proc/{pid}").exists())
    assert eventually(lambda: not lab.ssm.describe_sessions(State="Active")["Sessions"])


def test_a_daemon_that_keeps_the_terminal_does_not_keep_the_session(lab):
    conversation = Conversation(lab.start_session())
    conversation.prepare()
    conversation.say(b"setsid --fork sleep 20 & disown; exit\n")
    conversation.until(b"Exiting session with sessionId")
    assert conversation.process.wait(5) == 0


def test_terminating_ends_the_session(lab):
    response = lab.start_session()
    conversation = Conversation(response)
    conversation.prepare()
    assert lab.ssm.terminate_session(SessionId=response["SessionId"])["SessionId"] == response["SessionId"]
    assert conversation.process.wait(5) == 0


def test_a_token_is_good_once(lab):
    response = lab.start_session()
    conversation = Conversation(response)
    conversation.prepare()
    refused = Conversation(response)
    assert b"token is wrong or used" in refused.until(b"used")
    assert refused.process.wait(5) == 1
    conversation.leave()


def test_another_token_is_refused(lab):
    refused = Conversation({**lab.start_session(), "TokenValue": "wrong"})
    refused.until(b"Cannot perform start session: the server closed the connection: the token is wrong or used")
    assert refused.process.wait(5) == 1
    assert refused.process.stderr.read() == b""


def test_resuming_gives_a_token_that_opens_the_session(lab):
    response = lab.start_session()
    resumed = lab.ssm.resume_session(SessionId=response["SessionId"])
    assert resumed["TokenValue"] != response["TokenValue"]
    conversation = Conversation({key: resumed[key] for key in response})
    conversation.prepare()
    conversation.leave()


def test_resuming_what_has_ended(lab):
    response = lab.start_session()
    lab.ssm.terminate_session(SessionId=response["SessionId"])
    with pytest.raises(ClientError) as failure:
        lab.ssm.resume_session(SessionId=response["SessionId"])
    assert failure.value.response["Error"]["Code"] == "DoesNotExistException"


@pytest.mark.parametrize("program", ["/usr/bin/python3", "python3"])
def test_the_program_runs_under_any_python_and_from_anywhere(lab, program, tmp_path):
    if shutil.which(program) is None:
        pytest.skip(f"no {program} here")
    link = tmp_path / "session-manager-plugin"
    link.symlink_to(plugin.__file__)
    conversation = Conversation(lab.start_session(), [program, str(link)])
    conversation.prepare()
    conversation.leave()


def test_the_launcher_runs_the_program(lab, tmp_path):
    launcher = write_launcher(tmp_path)
    conversation = Conversation(lab.start_session(), [str(launcher)])
    conversation.prepare()
    conversation.leave()


def test_the_response_may_come_in_an_environment_variable(lab):
    variable = "AWS_SSM_START_SESSION_RESPONSE"
    finished = subprocess.run(
        [*PROGRAM, variable, REGION, "StartSession"],
        env={**os.environ, variable: json.dumps(lab.start_session())},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=10,
    )
    assert b"Starting session with SessionId" in finished.stdout


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (["{}", REGION, "StartSession"], "the first argument is not a response of StartSession"),
        (["nonsense", REGION, "StartSession"], "the first argument is not a response of StartSession"),
        (["{}", REGION, "ResumeSession"], "ResumeSession is not an operation of this program"),
        (
            ['{"SessionId": "x", "TokenValue": "t", "StreamUrl": "wss://host/path"}', REGION, "StartSession"],
            "sessions on AWS need the plugin that AWS publishes",
        ),
        (
            ['{"SessionId": "x", "TokenValue": "t", "StreamUrl": "ws://127.0.0.1:1/x"}', REGION, "StartSession"],
            "127.0.0.1:1 does not answer",
        ),
    ],
)
def test_what_the_program_cannot_do_is_one_sentence(arguments, output):
    finished = subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, timeout=10, check=False)
    assert finished.returncode == 1
    assert output in finished.stdout
    assert finished.stderr == ""


def test_the_program_says_what_it_is():
    assert "is installed" in subprocess.run(PROGRAM, capture_output=True, text=True, check=True).stdout
    version = subprocess.run([*PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout
    assert version.strip() == plugin.CLIENT_VERSION


def test_unknown_and_stopped_instances_are_not_connected(lab):
    lab.instances.stopped = {lab.ids[2]}
    try:
        for target in ("i-0123456789abcdef0", lab.ids[2]):
            with pytest.raises(ClientError) as failure:
                lab.ssm.start_session(Target=target)
            assert failure.value.response["Error"]["Code"] == "TargetNotConnected"
            assert target in failure.value.response["Error"]["Message"]
            assert lab.ssm.get_connection_status(Target=target)["Status"] == "notconnected"
        assert lab.ssm.get_connection_status(Target=lab.ids[0])["Status"] == "connected"
    finally:
        lab.instances.stopped = set()


def test_an_instance_that_stopped_after_the_session_was_started(lab):
    response = lab.start_session(lab.ids[2])
    lab.instances.stopped = {lab.ids[2]}
    try:
        refused = Conversation(response)
        refused.until(b"the instance is gone")
        assert refused.process.wait(5) == 1
    finally:
        lab.instances.stopped = set()


def test_another_document_is_refused(lab):
    with pytest.raises(ClientError) as failure:
        lab.ssm.start_session(Target=lab.ids[0], DocumentName="AWS-StartPortForwardingSession")
    assert failure.value.response["Error"]["Code"] == "InvalidDocument"


def instance_ids(answer) -> list[str]:
    return [instance["InstanceId"] for instance in answer["InstanceInformationList"]]


def test_instances_are_listed(lab):
    listed = lab.ssm.describe_instance_information()["InstanceInformationList"]
    assert sorted(instance["InstanceId"] for instance in listed) == lab.ids
    assert {instance["PingStatus"] for instance in listed} == {"Online"}
    assert {instance["PlatformType"] for instance in listed} == {"Linux"}


def test_instances_are_listed_in_pages(lab):
    paginator = lab.ssm.get_paginator("describe_instance_information")
    pages = list(paginator.paginate(PaginationConfig={"PageSize": 5}))
    assert [len(instance_ids(page)) for page in pages] == [5, 1]
    assert sorted(instance_id for page in pages for instance_id in instance_ids(page)) == lab.ids


def test_instances_are_filtered(lab):
    describe = lab.ssm.describe_instance_information
    lab.ec2.create_tags(Resources=[lab.ids[1]], Tags=[{"Key": "Principal", "Value": "instance2"}])
    lab.instances.stopped = {lab.ids[2]}
    try:
        assert instance_ids(describe(Filters=[{"Key": "InstanceIds", "Values": lab.ids[:2]}])) == lab.ids[:2]
        assert instance_ids(describe(Filters=[{"Key": "PingStatus", "Values": ["ConnectionLost"]}])) == [lab.ids[2]]
        assert instance_ids(describe(Filters=[{"Key": "tag:Principal", "Values": ["instance2"]}])) == [lab.ids[1]]
        assert instance_ids(describe(Filters=[{"Key": "tag-key", "Values": ["Principal"]}])) == [lab.ids[1]]
        assert instance_ids(describe(Filters=[{"Key": "ActivationIds", "Values": ["x"]}])) == []
        old = [{"key": "InstanceIds", "valueSet": [lab.ids[0]]}]
        assert instance_ids(describe(InstanceInformationFilterList=old)) == [lab.ids[0]]
        both = [{"Key": "InstanceIds", "Values": lab.ids}, {"Key": "PingStatus", "Values": ["Online"]}]
        assert instance_ids(describe(Filters=both)) == lab.ids[:2] + lab.ids[3:]
    finally:
        lab.instances.stopped = set()


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"Filters": [{"Key": "Colour", "Values": ["red"]}]}, "InvalidFilterKey"),
        ({"NextToken": "nonsense"}, "InvalidNextToken"),
        ({"NextToken": "99"}, "InvalidNextToken"),
    ],
)
def test_what_instances_are_not_filtered_by(lab, request_, code):
    with pytest.raises(ClientError) as failure:
        lab.ssm.describe_instance_information(**request_)
    assert failure.value.response["Error"]["Code"] == code


def test_sessions_are_described(lab):
    response = lab.start_session(lab.ids[1], Reason="a look around")
    filters = [{"key": "SessionId", "value": response["SessionId"]}]
    (active,) = lab.ssm.describe_sessions(State="Active", Filters=filters)["Sessions"]
    assert active["Target"] == lab.ids[1]
    assert active["Status"] == "Connecting"
    assert active["Reason"] == "a look around"
    assert active["Owner"].startswith(f"arn:aws:sts::{ACCOUNT}:")
    lab.ssm.terminate_session(SessionId=response["SessionId"])
    assert lab.ssm.describe_sessions(State="Active", Filters=filters)["Sessions"] == []
    (ended,) = lab.ssm.describe_sessions(State="History", Filters=filters)["Sessions"]
    assert ended["Status"] == "Terminated"
    assert ended["EndDate"] >= ended["StartDate"]


def test_sessions_are_not_filtered_by_what_is_no_key(lab):
    lab.start_session()
    with pytest.raises(ClientError, match="InvalidFilterKey"):
        lab.ssm.describe_sessions(State="Active", Filters=[{"key": "AccessType", "value": "Standard"}])


def test_moto_is_left_as_it_was(tmp_path):
    from moto.ssm.responses import SimpleSystemManagerResponse

    before = {name: getattr(SimpleSystemManagerResponse, name) for name in dir(SimpleSystemManagerResponse)}
    with socket.create_server(("127.0.0.1", 0)) as channel:
        settings = Settings(tmp_path, REGION, ACCOUNT, 1, 1, channel.getsockname()[1])
        server = DataChannelServer(settings, channel, LocalInstances())
        server.start()
        server.stop()
    after = {name: getattr(SimpleSystemManagerResponse, name) for name in dir(SimpleSystemManagerResponse)}
    assert after == before

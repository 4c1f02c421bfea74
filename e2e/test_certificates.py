"""Certificates from elsewhere: an authority of one's own, devices that register themselves, certificates that change
hands, a server certificate and host names of the operator's. Driven by boto3 and Paho, signed by `cryptography`.
"""

import http.client
import json
import queue
import socket
import ssl
import time

import paho.mqtt.client as paho
import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

import packets
import websockets
from authorities import KINDS, CertificateAuthority
from devices import ALLOW_ALL, Workshop, arn, key_pem
from house import ACCOUNT, PATIENCE, REGION, Ombra, wait_for

OTHER = "111111111111"
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def ca(tmp_path) -> CertificateAuthority:
    """A new authority."""
    return CertificateAuthority(tmp_path / "ca")


@pytest.fixture(scope="module", autouse=True)
def everything(iot):
    """The policy that allows everything."""
    iot.create_policy(policyName="everything", policyDocument=json.dumps(ALLOW_ALL))


def raises(error: str, call, **arguments) -> dict:
    """The answer of a call that must be refused with this name."""
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    assert refused.value.response["Error"]["Code"] == error, refused.value
    return refused.value.response


def register_ca(iot, ca: CertificateAuthority, **options) -> str:
    """The id of a CA that has shown that it holds its key."""
    code = iot.get_registration_code()["registrationCode"]
    made = iot.register_ca_certificate(
        caCertificate=ca.pem, verificationCertificate=ca.issue(code).text, **options,
    )
    return made["certificateId"]


def connect(ombra: Ombra, held, client_id: str = "lamp", *, host: str = "localhost", trust=None, door: str = "mqtts",
            alpn: str | None = None, version: int = packets.V5):
    """A connection on which the CONNACK has come; what it says, and the wire."""
    context = ssl.create_default_context(cafile=str(trust or ombra.ca))
    context.load_cert_chain(held.certificate, held.key)
    if alpn:
        context.set_alpn_protocols([alpn])
    raw = socket.create_connection(ombra.address(door), timeout=PATIENCE)
    wire = packets.Wire(context.wrap_socket(raw, server_hostname=host), version)
    return wire.connect(client_id), wire


def is_in(ombra: Ombra, held, client_id: str = "lamp", **options) -> bool:
    """Whether a device is let in."""
    try:
        answer, wire = connect(ombra, held, client_id, **options)
    except (packets.Closed, ssl.SSLError, ConnectionError):
        return False
    wire.sock.close()
    return answer.reason == 0


# Requests.


@every_kind
def test_a_request_keeps_its_subject_and_its_key(ombra, iot, kind, tmp_path):
    key = KINDS[kind]()
    subject = x509.Name([
        x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
        x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "one"),
        x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "two"),
        x509.NameAttribute(NameOID.COMMON_NAME, "lamp"),
    ])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    csr = csr.public_bytes(serialization.Encoding.PEM).decode()
    made = iot.create_certificate_from_csr(certificateSigningRequest=csr)
    certificate = x509.load_pem_x509_certificate(made["certificatePem"].encode())
    assert certificate.subject == subject
    assert certificate.public_key() == key.public_key()
    described = iot.describe_certificate(certificateId=made["certificateId"])["certificateDescription"]
    assert described["status"] == "INACTIVE" and described["certificateMode"] == "DEFAULT"
    assert described["validity"]["notAfter"] == certificate.not_valid_after_utc
    assert described["certificateId"] == certificate.fingerprint(hashes.SHA256()).hex()


def test_a_weak_or_unknown_key_is_refused(iot):
    for key in [rsa.generate_private_key(65537, 1024), ec.generate_private_key(ec.SECP256K1())]:
        csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        csr = csr.public_bytes(serialization.Encoding.PEM).decode()
        raises("InvalidRequestException", iot.create_certificate_from_csr, certificateSigningRequest=csr)


# CAs.


@every_kind
def test_devices_of_a_registered_ca_connect(ombra, iot, kind, tmp_path):
    ca = CertificateAuthority(tmp_path / "ca", f"CA of kind {kind}", kind)
    ca_id = register_ca(iot, ca, setAsActive=True, tags=[{"Key": "plant", "Value": "north"}])
    described = iot.describe_ca_certificate(certificateId=ca_id)["certificateDescription"]
    assert described["status"] == "ACTIVE" and described["autoRegistrationStatus"] == "DISABLE"
    tags = iot.list_tags_for_resource(resourceArn=described["certificateArn"])["tags"]
    assert tags == [{"Key": "plant", "Value": "north"}]
    device = ca.issue(f"lamp-{kind}", kind)
    assert not is_in(ombra, device)
    made = iot.register_certificate(certificatePem=device.text, caCertificatePem=ca.pem, status="ACTIVE")
    iot.attach_policy(policyName="everything", target=made["certificateArn"])
    assert is_in(ombra, device)
    listed = iot.list_certificates_by_ca(caCertificateId=ca_id)["certificates"]
    assert [entry["certificateId"] for entry in listed] == [made["certificateId"]]
    # What it has issued goes on without it.
    iot.update_ca_certificate(certificateId=ca_id, newStatus="INACTIVE")
    assert ca_id in [entry["certificateId"] for entry in iot.list_ca_certificates(pageSize=250)["certificates"]]
    iot.delete_ca_certificate(certificateId=ca_id)
    raises("ResourceNotFoundException", iot.describe_ca_certificate, certificateId=ca_id)
    assert is_in(ombra, device)


def test_possession_of_a_ca_must_be_proved(iot, ca):
    code = iot.get_registration_code()["registrationCode"]
    assert len(code) == 64
    wrong = ca.issue("another code").text
    refused = raises(
        "RegistrationCodeValidationException", iot.register_ca_certificate,
        caCertificate=ca.pem, verificationCertificate=wrong,
    )
    assert refused["ResponseMetadata"]["HTTPStatusCode"] == 400
    for certificate in ["nonsense", wrong]:
        raises(
            "CertificateValidationException", iot.register_ca_certificate,
            caCertificate=certificate, verificationCertificate=ca.issue(code).text,
        )
    template = {"templateName": "fleet"}
    raises(
        "NotImplementedException", iot.register_ca_certificate,
        caCertificate=ca.pem, verificationCertificate=ca.issue(code).text, registrationConfig=template,
    )
    iot.delete_registration_code()
    raises(
        "RegistrationCodeValidationException", iot.register_ca_certificate,
        caCertificate=ca.pem, verificationCertificate=ca.issue(code).text,
    )
    iot.register_ca_certificate(caCertificate=ca.pem, certificateMode="SNI_ONLY")
    taken = raises("ResourceAlreadyExistsException", iot.register_ca_certificate,
                   caCertificate=ca.pem, certificateMode="SNI_ONLY")
    assert taken["resourceArn"].startswith(arn("cacert/"))


def test_a_certificate_without_any_ca_connects(ombra, iot, workshop):
    certificate, key = workshop.stranger()
    made = iot.register_certificate_without_ca(certificatePem=certificate.read_text(), status="ACTIVE")
    described = iot.describe_certificate(certificateId=made["certificateId"])["certificateDescription"]
    assert described["certificateMode"] == "SNI_ONLY" and described["status"] == "ACTIVE"
    iot.attach_policy(policyName="everything", target=made["certificateArn"])
    ca = CertificateAuthority(certificate.parent)
    held = ca.issue("unused")
    held.certificate, held.key = certificate, key
    assert is_in(ombra, held)


# Just in time.


@every_kind
def test_a_device_registers_itself_and_is_activated_by_who_hears_of_it(ombra, iot, workshop, kind, tmp_path):
    ca = CertificateAuthority(tmp_path / "ca", f"just in time {kind}", kind)
    ca_id = register_ca(iot, ca, setAsActive=True, allowAutoRegistration=True)
    topic = f"told/{kind}"
    rule = {
        "sql": f"SELECT * FROM '$aws/events/certificates/registered/{ca_id}'",
        "actions": [{"republish": {"roleArn": "arn:aws:iam::000000000000:role/r", "topic": topic, "qos": 1}}],
    }
    iot.create_topic_rule(ruleName=f"jitr_{kind}", topicRulePayload=rule)
    operator = workshop.device()
    heard: queue.Queue = queue.Queue()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, operator.name, reconnect_on_failure=False)
    client.tls_set_context(operator.context())
    client.on_message = lambda client, userdata, message: heard.put(message)
    subscribed: queue.Queue = queue.Queue()
    client.on_subscribe = lambda *arguments: subscribed.put(arguments)
    client.on_connect = lambda client, *_: client.subscribe(
        [("$aws/events/certificates/registered/#", 1), (topic, 1)])
    host, port = ombra.address("mqtts")
    client.connect("localhost", port)
    client.loop_start()
    try:
        subscribed.get(timeout=PATIENCE)
        device = ca.issue("lamp", kind)
        assert not is_in(ombra, device)
        messages = {message.topic: json.loads(message.payload) for message in
                    (heard.get(timeout=PATIENCE), heard.get(timeout=PATIENCE))}
        event = messages[f"$aws/events/certificates/registered/{ca_id}"]
        assert messages[topic] == event, "the rule heard the same"
        certificate_id = event["certificateId"]
        assert event["caCertificateId"] == ca_id and event["certificateStatus"] == "PENDING_ACTIVATION"
        refusal = ombra.event(principal=certificate_id)
        assert refusal["decision"] == "PENDING_ACTIVATION" and "new-status ACTIVE" in refusal["reason"]
        assert not is_in(ombra, device), "another attempt"
        again = json.loads(heard.get(timeout=PATIENCE).payload)
        assert again["certificateId"] == certificate_id and again["timestamp"] >= event["timestamp"]
        iot.update_certificate(certificateId=certificate_id, newStatus="ACTIVE")
        iot.attach_policy(policyName="everything", target=arn(f"cert/{certificate_id}"))
        assert is_in(ombra, device)
        device.certificate.write_text(device.text + ca.pem)
        assert is_in(ombra, device), "with its CA in the chain it is the same device"
    finally:
        client.disconnect()
        client.loop_stop()
        iot.delete_topic_rule(ruleName=f"jitr_{kind}")


def test_a_device_of_an_inactive_ca_is_told_why(ombra, iot, ca):
    ca_id = register_ca(iot, ca, allowAutoRegistration=True)
    device = ca.issue("lamp")
    certificate_id = x509.load_pem_x509_certificate(device.text.encode()).fingerprint(hashes.SHA256()).hex()
    assert not is_in(ombra, device)
    refusal = ombra.event(principal=certificate_id)
    assert refusal["decision"] == "INACTIVE_CA" and ca_id in refusal["reason"]
    raises("ResourceNotFoundException", iot.describe_certificate, certificateId=certificate_id)


# Transfers.


def test_a_certificate_changes_hands_and_connects_for_its_new_owner(ombra, iot, workshop):
    device = workshop.device(thing=False)
    there = ombra.client("iot", OTHER)
    iot.update_certificate(certificateId=device.certificate_id, newStatus="INACTIVE")
    offer = {"certificateId": device.certificate_id, "targetAwsAccount": OTHER, "transferMessage": "yours"}
    refused = raises("TransferConflictException", iot.transfer_certificate, **offer)
    assert refused["ResponseMetadata"]["HTTPStatusCode"] == 409
    iot.detach_policy(policyName=device.policy, target=device.certificate_arn)
    moved = iot.transfer_certificate(**offer)["transferredCertificateArn"]
    assert moved == arn(f"cert/{device.certificate_id}", OTHER)
    raises("CertificateStateException", iot.update_certificate,
           certificateId=device.certificate_id, newStatus="ACTIVE")
    outgoing = iot.list_outgoing_certificates()["outgoingCertificates"]
    assert [(entry["certificateId"], entry["transferredTo"], entry["transferMessage"]) for entry in outgoing] == [
        (device.certificate_id, OTHER, "yours")]
    there.reject_certificate_transfer(certificateId=device.certificate_id, rejectReason="not now")
    data = iot.describe_certificate(certificateId=device.certificate_id)["certificateDescription"]["transferData"]
    assert data["rejectReason"] == "not now"
    iot.transfer_certificate(**offer)
    iot.cancel_certificate_transfer(certificateId=device.certificate_id)
    iot.transfer_certificate(**offer)
    there.accept_certificate_transfer(certificateId=device.certificate_id, setAsActive=True)
    late = raises("TransferAlreadyCompletedException", iot.cancel_certificate_transfer,
                  certificateId=device.certificate_id)
    assert late["ResponseMetadata"]["HTTPStatusCode"] == 410
    there.create_policy(policyName="everything", policyDocument=json.dumps(ALLOW_ALL))
    there.attach_policy(policyName="everything", target=moved)
    with device.connect():
        connected = ombra.event("connected", client_id=device.name)
        assert connected["account"] == OTHER
    described = there.describe_certificate(certificateId=device.certificate_id)["certificateDescription"]
    assert described["ownedBy"] == OTHER and described["previousOwnedBy"] == "000000000000"


# Changes of status.


@pytest.mark.parametrize("status", ["INACTIVE", "REVOKED"])
def test_a_change_of_status_cuts_a_live_connection_within_a_second(iot, workshop, status):
    device = workshop.device()
    with device.connect() as wire:
        assert wire.ping()
        begun = time.monotonic()
        iot.update_certificate(certificateId=device.certificate_id, newStatus=status)
        wire.closed()
        assert time.monotonic() - begun < 1
    iot.update_certificate(certificateId=device.certificate_id, newStatus="ACTIVE")
    device.connect().sock.close()


def test_a_certificate_is_deleted_by_force_with_its_policies(iot, workshop):
    device = workshop.device(thing=False)
    identified = {"certificateId": device.certificate_id}
    raises("CertificateStateException", iot.delete_certificate, **identified, forceDelete=True)
    iot.update_certificate(**identified, newStatus="INACTIVE")
    refused = raises("DeleteConflictException", iot.delete_certificate, **identified)
    assert refused["Error"]["Message"] == (
        f"Certificate policies must be detached before deletion (arn: {device.certificate_arn})")
    iot.delete_certificate(**identified, forceDelete=True)
    raises("ResourceNotFoundException", iot.describe_certificate, **identified)


# Host names.


def put_down(ombra: Ombra, name: str, held) -> str:
    """Gives the server a certificate for host names, and returns the ARN that stands for it."""
    domains = ombra.data / "domains" / ACCOUNT
    domains.mkdir(parents=True, exist_ok=True)
    (domains / f"{name}.key").write_bytes(held.key.read_bytes())
    (domains / f"{name}.pem").write_text(held.text)
    return f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/{name}"


def shown(ombra: Ombra, host: str, door: str = "tls") -> x509.Certificate:
    """The server certificate that is shown to who asks for a host."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    raw = socket.create_connection(ombra.address(door), timeout=PATIENCE)
    with context.wrap_socket(raw, server_hostname=host) as tls:
        return x509.load_der_x509_certificate(tls.getpeercert(True))


def https(ombra: Ombra, host: str, trust, held=None, path="/topics/a?qos=0", **headers) -> int:
    """The status of one request to a host name, on a connection of its own."""
    context = ssl.create_default_context(cafile=str(trust))
    if held:
        context.load_cert_chain(held.certificate, held.key)
    raw = socket.create_connection(ombra.address("tls"), timeout=PATIENCE)
    connection = http.client.HTTPConnection(host)
    connection.sock = context.wrap_socket(raw, server_hostname=host)
    try:
        connection.request("POST", path, body=b"x", headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_host_name_selects_certificate_and_configuration(ombra, iot, ca, workshop):
    host = "mqtt.plant.example"
    server = ca.issue("server", hosts=(host,))
    certificate = put_down(ombra, "mqtt-plant", server)
    made = iot.create_domain_configuration(
        domainConfigurationName="mqtt-plant", domainName=host, serverCertificateArns=[certificate],
        authenticationType="AWS_X509", applicationProtocol="SECURE_MQTT",
        tlsConfig={"securityPolicy": "IoTSecurityPolicy_TLS13_1_3_2022_10"},
    )
    described = iot.describe_domain_configuration(domainConfigurationName="mqtt-plant")
    assert described["domainConfigurationArn"] == made["domainConfigurationArn"]
    assert described["serverCertificates"] == [
        {"serverCertificateArn": certificate, "serverCertificateStatus": "VALID"}]
    assert shown(ombra, "localhost") != shown(ombra, host, "mqtts") == x509.load_pem_x509_certificate(
        server.text.encode())
    device = workshop.device()
    trust = ca.file()
    assert is_in(ombra, device, host=host, trust=trust)
    # No ALPN is needed where only MQTT is spoken, whatever the port.
    assert is_in(ombra, device, host=host, trust=trust, door="tls")
    assert is_in(ombra, device), "the server's own name goes on as before"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        https(ombra, host, trust, device, path="/topics/a")
    old = ssl.create_default_context(cafile=str(trust))
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        old.wrap_socket(socket.create_connection(ombra.address("tls")), server_hostname=host)

    # Another certificate is shown as soon as it lies there.
    renewed = ca.issue("server", hosts=(host,))
    put_down(ombra, "mqtt-plant", renewed)
    assert shown(ombra, host, "mqtts") == x509.load_pem_x509_certificate(renewed.text.encode())

    (ombra.data / "domains" / ACCOUNT / "mqtt-plant.pem").write_text("nothing at all")
    assert shown(ombra, host, "mqtts") == x509.load_pem_x509_certificate(renewed.text.encode())
    assert "mqtt-plant.pem: it holds no PEM certificate" in ombra.errors.read_text()
    summary = iot.describe_domain_configuration(domainConfigurationName="mqtt-plant")["serverCertificates"][0]
    assert summary["serverCertificateStatus"] == "INVALID"

    iot.update_domain_configuration(domainConfigurationName="mqtt-plant", domainConfigurationStatus="DISABLED")
    assert not is_in(ombra, device, host=host, trust=trust)
    assert "mqtt-plant" in ombra.event(decision="DISABLED_DOMAIN")["reason"]
    counted = [line for line in ombra.get("/metrics")[1].splitlines() if 'handshake_failures_total{reason="domain"}' in line]
    assert int(counted[0].rsplit(" ", 1)[1]) > 0
    assert is_in(ombra, device)
    iot.delete_domain_configuration(domainConfigurationName="mqtt-plant")
    assert shown(ombra, host) == shown(ombra, "localhost")


def test_what_a_configuration_does_not_allow_is_refused(ombra, iot, ca, workshop):
    host = "https.plant.example"
    certificate = put_down(ombra, "https-plant", ca.issue("server", hosts=(host,)))
    named = {"domainConfigurationName": "https-plant"}
    iot.create_domain_configuration(
        **named, domainName=host, serverCertificateArns=[certificate],
        authenticationType="AWS_X509", applicationProtocol="HTTPS",
    )
    device, trust = workshop.device(), ca.file()
    assert https(ombra, host, trust, device) == 200
    signed = {"authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/iotdata/aws4_request, "
                               "SignedHeaders=host;x-amz-date, Signature=" + "0" * 64, "x-amz-date": "20260101T000000Z"}
    assert https(ombra, host, trust, device, **signed) == 403
    assert not is_in(ombra, device, host=host, trust=trust)
    assert "MQTT over TLS is not spoken here" in ombra.event(decision="NOT_OF_DOMAIN", action="TLS")["reason"]
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
        https(ombra, host, trust)
    for custom in ["CUSTOM_AUTH", "CUSTOM_AUTH_X509"]:
        raises("NotImplementedException", iot.update_domain_configuration, **named, authenticationType=custom)


def test_signed_websockets_alone_are_let_in_where_a_configuration_says_so(ombra, iot, ca, workshop):
    host = "wss.plant.example"
    certificate = put_down(ombra, "wss-plant", ca.issue("server", hosts=(host,)))
    iot.create_domain_configuration(
        domainConfigurationName="wss-plant", domainName=host, serverCertificateArns=[certificate],
        authenticationType="AWS_SIGV4", applicationProtocol="MQTT_WSS",
    )
    device, trust = workshop.device(), ca.file()

    def asked(path: str, held=None) -> tuple:
        """The status of a request for a WebSocket, and the socket."""
        context = ssl.create_default_context(cafile=str(trust))
        if held:
            context.load_cert_chain(held.certificate, held.key)
        raw = socket.create_connection(ombra.address("tls"), timeout=PATIENCE)
        tls = context.wrap_socket(raw, server_hostname=host)
        return websockets.ask(tls, path, host).status, tls

    status, tls = asked(websockets.signed(host))
    assert status == 101
    wire = packets.Wire(websockets.Socket(tls), packets.V5)
    assert wire.connect("browser").reason == 0 and wire.ping()
    assert asked("/mqtt", device)[0] == 403, "a certificate is no signature"
    assert https(ombra, host, trust, device) == 403, "HTTP that is no WebSocket"
    assert ombra.event(decision="NOT_OF_DOMAIN", action="HTTPS")
    wire.sock.close()


def test_a_policy_can_ask_for_the_host_name(ombra, iot, ca, workshop):
    host = "named.plant.example"
    certificate = put_down(ombra, "named-plant", ca.issue("server", hosts=(host,)))
    iot.create_domain_configuration(
        domainConfigurationName="named-plant", domainName=host, serverCertificateArns=[certificate])
    policy = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "iot:*", "Resource": "*",
        "Condition": {"StringEquals": {"iot:DomainName": host}},
    }]}
    device = workshop.device(policy=policy)
    assert is_in(ombra, device, host=host, trust=ca.file())
    assert not is_in(ombra, device)


def test_under_an_accounts_host_name_other_accounts_are_unknown(ombra, iot, ca, workshop):
    host = "own.plant.example"
    certificate = put_down(ombra, "own-plant", ca.issue("server", hosts=(host,)))
    iot.create_domain_configuration(
        domainConfigurationName="own-plant", domainName=host, serverCertificateArns=[certificate])
    device = workshop.device(account=OTHER)
    assert is_in(ombra, device)
    assert not is_in(ombra, device, host=host, trust=ca.file())


def test_a_name_of_the_servers_own_making_is_certified_by_its_authority(ombra, iot, workshop):
    iot.create_domain_configuration(domainConfigurationName="managed")
    described = iot.describe_domain_configuration(domainConfigurationName="managed")
    assert described["domainType"] == "AWS_MANAGED"
    assert is_in(ombra, workshop.device(), host=described["domainName"])
    names = [entry["domainConfigurationName"] for entry in iot.list_domain_configurations()["domainConfigurations"]]
    assert names[-3:] == ["iot:Jobs", "iot:Data-ATS", "iot:CredentialProvider"] and "managed" in names


# The operator's own.


def test_the_operators_server_certificate_is_shown_and_replaced_without_dropping_anybody(own_ombra, ca, tmp_path):
    first, second = (ca.issue("server", hosts=("localhost", "iot.plant.example")) for _ in range(2))
    own_ombra.start("--tls-cert", first.certificate, "--tls-key", first.key)
    device = Workshop(own_ombra, tmp_path / "devices").device()
    answer, wire = connect(own_ombra, device, device.name, host="iot.plant.example", trust=ca.file())
    assert answer.reason == 0
    first_key, first_text = first.key, first.text
    assert shown(own_ombra, "localhost") == x509.load_pem_x509_certificate(first_text.encode())
    first_key.write_bytes(second.key.read_bytes())
    first.certificate.write_text(second.text)
    expected = x509.load_pem_x509_certificate(second.text.encode())
    wait_for(lambda: shown(own_ombra, "localhost") == expected, "the new certificate is shown")
    assert wire.ping(), "who was connected is connected"
    wire.sock.close()


@every_kind
def test_the_operators_authority_issues_device_certificates(own_ombra, kind, tmp_path):
    ca = CertificateAuthority(tmp_path / "ca", "Operator", kind)
    own_ombra.data.mkdir(parents=True)
    own_ombra.ca.write_text(ca.pem)
    (own_ombra.data / "ca.key").write_bytes(ca.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()))
    own_ombra.start()
    device = Workshop(own_ombra, tmp_path / "devices").device()
    certificate = x509.load_pem_x509_certificate(device.certificate.read_bytes())
    certificate.verify_directly_issued_by(ca.certificate)
    assert is_in(own_ombra, device, device.name)
    iot = own_ombra.client("iot")
    made = iot.create_keys_and_certificate(setAsActive=True)
    x509.load_pem_x509_certificate(made["certificatePem"].encode()).verify_directly_issued_by(ca.certificate)


def test_another_authority_is_taken_up_without_dropping_anybody(own_ombra, tmp_path):
    own_ombra.start()
    workshop = Workshop(own_ombra, tmp_path / "devices")
    device, old = workshop.device(), shown(own_ombra, "localhost")
    iot = own_ombra.client("iot")
    iot.create_domain_configuration(domainConfigurationName="managed")
    managed = iot.describe_domain_configuration(domainConfigurationName="managed")["domainName"]
    with device.connect() as wire:
        before = shown(own_ombra, managed)
        ca = CertificateAuthority(tmp_path / "ca", "Next", "rsa")
        (own_ombra.data / "ca.key").write_bytes(key_pem(ca.key))
        own_ombra.ca.write_text("nothing at all")
        wait_for(lambda: "ca.pem: it holds no PEM certificate" in own_ombra.errors.read_text(), "the reason is told")
        assert shown(own_ombra, "localhost") == old
        own_ombra.ca.write_text(ca.pem)
        new = wait_for(lambda: (now := shown(own_ombra, "localhost")) != old and now, "a new server certificate")
        new.verify_directly_issued_by(ca.certificate)
        assert wire.ping(), "who was connected is connected"
    assert is_in(own_ombra, device, device.name), "its certificate is of the authority before"
    late = workshop.device()
    x509.load_pem_x509_certificate(late.certificate.read_bytes()).verify_directly_issued_by(ca.certificate)
    assert is_in(own_ombra, late, late.name)
    after = shown(own_ombra, managed)
    assert before != after
    after.verify_directly_issued_by(ca.certificate)


def test_a_certificate_of_the_house_can_be_registered_again(iot):
    made = iot.create_keys_and_certificate()
    iot.delete_certificate(certificateId=made["certificateId"])
    again = iot.register_certificate(certificatePem=made["certificatePem"], status="INACTIVE")
    assert again["certificateId"] == made["certificateId"]

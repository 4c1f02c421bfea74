"""boto3, unmodified, calls every operation that is built: answers are whole, refusals have AWS's names and words.

The model that botocore ships is the judge: whatever it requires of an answer must be there, and an operation it knows
that is not built must say so by name.
"""

import datetime
import hashlib
import json
import uuid
from pathlib import Path

import boto3
import pytest
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from devices import ALLOW_ALL, arn, request_for, tls_context, tls_socket
from house import missing
from packets import V5, Wire

DOCUMENT = json.dumps(ALLOW_ALL)
OPERATIONS = Path(__file__).resolve().parent.parent / "docs/operations.md"


class Checked:
    """A client whose every answer is held against the model."""

    def __init__(self, client):
        self.client = client
        self.exceptions = client.exceptions

    def __getattr__(self, name):
        operation = self.client.meta.method_to_api_mapping[name]
        shape = self.client.meta.service_model.operation_model(operation).output_shape

        def call(**parameters):
            answer = getattr(self.client, name)(**parameters)
            assert answer["ResponseMetadata"]["HTTPStatusCode"] in (200, 201, 204)
            assert uuid.UUID(answer["ResponseMetadata"]["RequestId"])
            assert missing(shape, answer) == []
            del answer["ResponseMetadata"]
            return answer

        return call


@pytest.fixture(scope="module")
def checked(iot):
    """The control plane, held against its model."""
    return Checked(iot)


@pytest.fixture(scope="module")
def data(iot_data):
    """The data plane, held against its model."""
    return Checked(iot_data)


def refused(call, status: int, code: str, message: str | None = None, **parameters) -> dict:
    """The refusal of a call, which must be this one."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    answer = caught.value.response
    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]) == (status, code), answer
    assert message is None or answer["Error"]["Message"] == message
    assert answer["Error"]["Message"]
    return answer


@pytest.fixture
def certificate(checked):
    """A certificate without anything attached, made without a search for primes."""
    key = ec.generate_private_key(ec.SECP256R1())
    csr = request_for(key, "lone")
    return checked.create_certificate_from_csr(certificateSigningRequest=csr, setAsActive=True)


# Things.


def test_a_thing_is_created_described_listed_updated_and_deleted(checked):
    made = checked.create_thing(thingName="t1", attributePayload={"attributes": {"a": "1"}})
    assert (made["thingName"], made["thingArn"]) == ("t1", arn("thing/t1")) and made["thingId"]
    told = checked.describe_thing(thingName="t1")
    assert told == {
        "thingName": "t1", "thingArn": arn("thing/t1"), "thingId": made["thingId"], "defaultClientId": "t1",
        "attributes": {"a": "1"}, "version": 1,
    }
    listed = [thing for thing in checked.list_things()["things"] if thing["thingName"] == "t1"]
    assert listed == [{"thingName": "t1", "thingArn": arn("thing/t1"), "attributes": {"a": "1"}, "version": 1}]
    assert checked.update_thing(thingName="t1", attributePayload={"attributes": {"b": "2"}}) == {}
    told = checked.describe_thing(thingName="t1")
    assert (told["attributes"], told["version"]) == ({"b": "2"}, 2)
    assert checked.delete_thing(thingName="t1") == {}
    refused(checked.describe_thing, 404, "ResourceNotFoundException", thingName="t1")


def test_creating_the_same_thing_again_is_harmless_and_another_one_is_a_conflict(checked):
    made = checked.create_thing(thingName="again", attributePayload={"attributes": {"a": "1"}})
    assert checked.create_thing(thingName="again", attributePayload={"attributes": {"a": "1"}}) == made
    answer = refused(checked.create_thing, 409, "ResourceAlreadyExistsException", thingName="again")
    assert (answer["resourceId"], answer["resourceArn"]) == (made["thingId"], made["thingArn"])


def test_an_expected_version_must_match(checked):
    checked.create_thing(thingName="v")
    checked.update_thing(thingName="v", expectedVersion=1, attributePayload={"attributes": {"a": "1"}})
    text = "The version for thing v does not match the expected version."
    refused(checked.update_thing, 409, "VersionConflictException", text, thingName="v", expectedVersion=1)
    refused(checked.delete_thing, 409, "VersionConflictException", text, thingName="v", expectedVersion=1)
    assert checked.delete_thing(thingName="v", expectedVersion=2) == {}


def test_a_missing_thing_can_be_deleted_but_not_updated(checked):
    assert checked.delete_thing(thingName="never-was") == {}
    refused(checked.update_thing, 404, "ResourceNotFoundException", thingName="never-was")


def test_attributes_merge_replace_and_vanish(checked):
    checked.create_thing(thingName="m", attributePayload={"attributes": {"a": "1", "b": "2"}})

    def updated(attributes, merge):
        checked.update_thing(thingName="m", attributePayload={"attributes": attributes, "merge": merge})
        return checked.describe_thing(thingName="m")["attributes"]

    assert updated({"b": "3", "c": "4"}, True) == {"a": "1", "b": "3", "c": "4"}
    assert updated({"a": ""}, True) == {"b": "3", "c": "4"}
    assert updated({"z": "9"}, False) == {"z": "9"}
    checked.update_thing(thingName="m")
    assert checked.describe_thing(thingName="m")["attributes"] == {"z": "9"}


def test_a_thing_without_a_type_has_three_attributes_at_most_and_with_one_fifty(checked):
    def some(count):
        return {"attributes": {f"a{number}": "x" for number in range(count)}}

    checked.create_thing_type(thingTypeName="roomy")
    checked.create_thing(thingName="three", attributePayload=some(3))
    refused(checked.create_thing, 400, "InvalidRequestException", thingName="four", attributePayload=some(4))
    checked.create_thing(thingName="fifty", thingTypeName="roomy", attributePayload=some(50))
    refused(checked.create_thing, 400, "InvalidRequestException", thingName="more", thingTypeName="roomy",
            attributePayload=some(51))
    refused(checked.update_thing, 400, "InvalidRequestException", thingName="fifty", removeThingType=True)


@pytest.mark.parametrize(
    "attributes",
    [{"a b": "x"}, {"a": "x y"}, {"a": "x" * 801}, {"a" * 129: "x"}, {"ä": "x"}],
    ids=["name_alphabet", "value_alphabet", "value_size", "name_size", "ascii"],
)
def test_attributes_have_their_alphabet_and_size(checked, attributes):
    refused(checked.create_thing, 400, "InvalidRequestException", thingName="bad-attributes",
            attributePayload={"attributes": attributes})


def test_things_are_filtered_and_paged(ombra):
    iot = ombra.client("iot", "444444444444")
    iot.create_thing_type(thingTypeName="pump")
    for number in range(7):
        typed = {"thingTypeName": "pump"} if number % 2 else {}
        iot.create_thing(thingName=f"p{number}", attributePayload={"attributes": {"hall": f"h{number // 4}"}}, **typed)

    def names(**filters):
        pages = iot.get_paginator("list_things").paginate(PaginationConfig={"PageSize": 2}, **filters)
        pages = [[thing["thingName"] for thing in page["things"]] for page in pages]
        assert all(len(page) <= 2 for page in pages)
        return sorted(name for page in pages for name in page)

    assert names() == [f"p{number}" for number in range(7)]
    assert names(thingTypeName="pump") == ["p1", "p3", "p5"]
    assert names(attributeName="hall", attributeValue="h1") == ["p4", "p5", "p6"]
    assert names(attributeName="hall", attributeValue="h", usePrefixAttributeValue=True) == names()
    refused(iot.list_things, 400, "InvalidRequestException", nextToken="nonsense")
    refused(iot.list_things, 400, "InvalidRequestException", maxResults=251)


# Thing types.


def test_a_thing_type_lives_and_dies(checked):
    properties = {"thingTypeDescription": "a lamp", "searchableAttributes": ["color"]}
    made = checked.create_thing_type(thingTypeName="lamp", thingTypeProperties=properties)
    assert made["thingTypeArn"] == arn("thingtype/lamp") and made["thingTypeId"]
    assert checked.create_thing_type(thingTypeName="lamp", thingTypeProperties=properties) == made
    refused(checked.create_thing_type, 409, "ResourceAlreadyExistsException", thingTypeName="lamp")
    told = checked.describe_thing_type(thingTypeName="lamp")
    assert told["thingTypeProperties"] == properties
    assert told["thingTypeMetadata"]["deprecated"] is False
    assert isinstance(told["thingTypeMetadata"]["creationDate"], datetime.datetime)
    listed = checked.list_thing_types(thingTypeName="la")["thingTypes"]
    assert [kind["thingTypeName"] for kind in listed] == ["lamp"]
    refused(checked.delete_thing_type, 400, "InvalidRequestException", thingTypeName="lamp")
    checked.deprecate_thing_type(thingTypeName="lamp")
    metadata = checked.describe_thing_type(thingTypeName="lamp")["thingTypeMetadata"]
    assert metadata["deprecated"] is True and metadata["deprecationDate"]
    refused(checked.delete_thing_type, 400, "InvalidRequestException", thingTypeName="lamp")
    refused(checked.create_thing, 400, "InvalidRequestException",
            "Can not create new thing with depreated thing type:lamp", thingName="dim", thingTypeName="lamp")
    checked.create_thing(thingName="plain")
    refused(checked.update_thing, 400, "InvalidRequestException",
            "Can not update a thing to use deprecated thing type: lamp", thingName="plain", thingTypeName="lamp")
    checked.deprecate_thing_type(thingTypeName="lamp", undoDeprecate=True)
    assert checked.describe_thing_type(thingTypeName="lamp")["thingTypeMetadata"]["deprecated"] is False
    checked.create_thing(thingName="bright", thingTypeName="lamp")
    assert checked.describe_thing(thingName="bright")["thingTypeName"] == "lamp"
    checked.update_thing(thingName="bright", removeThingType=True)
    assert "thingTypeName" not in checked.describe_thing(thingName="bright")


def test_an_unknown_type_cannot_be_used(checked):
    refused(checked.create_thing, 404, "ResourceNotFoundException", thingName="odd", thingTypeName="no-such")
    refused(checked.describe_thing_type, 404, "ResourceNotFoundException", thingTypeName="no-such")
    refused(checked.deprecate_thing_type, 404, "ResourceNotFoundException", thingTypeName="no-such")
    refused(checked.delete_thing_type, 404, "ResourceNotFoundException", thingTypeName="no-such")


# Certificates.


def test_keys_and_certificate_fit_together_and_are_named_by_their_digest(ombra, checked, tmp_path):
    made = checked.create_keys_and_certificate(setAsActive=True)
    parsed = x509.load_pem_x509_certificate(made["certificatePem"].encode())
    key = serialization.load_pem_private_key(made["keyPair"]["PrivateKey"].encode(), None)
    public = serialization.load_pem_public_key(made["keyPair"]["PublicKey"].encode())
    assert key.public_key() == public == parsed.public_key() and key.key_size == 2048
    digest = hashlib.sha256(parsed.public_bytes(serialization.Encoding.DER)).hexdigest()
    assert made["certificateId"] == digest and made["certificateArn"] == arn(f"cert/{digest}")
    assert parsed.subject.rfc4514_string() == "CN=AWS IoT Certificate"
    assert parsed.not_valid_after_utc.year == 2049
    checked.create_policy(policyName="for-keys", policyDocument=DOCUMENT)
    checked.attach_policy(policyName="for-keys", target=made["certificateArn"])
    (tmp_path / "c").write_text(made["certificatePem"])
    (tmp_path / "k").write_text(made["keyPair"]["PrivateKey"])
    with Wire(tls_socket(ombra, tls_context(ombra, tmp_path / "c", tmp_path / "k"))) as wire:
        assert wire.connect("by-keys").reason == 0


def test_a_certificate_from_a_request_keeps_its_key_and_subject(checked):
    for curve in (ec.SECP256R1(), ec.SECP384R1()):
        key = ec.generate_private_key(curve)
        made = checked.create_certificate_from_csr(certificateSigningRequest=request_for(key, "my-own"))
        parsed = x509.load_pem_x509_certificate(made["certificatePem"].encode())
        assert parsed.public_key() == key.public_key() and parsed.subject.rfc4514_string() == "CN=my-own"
        told = checked.describe_certificate(certificateId=made["certificateId"])["certificateDescription"]
        assert told["status"] == "INACTIVE"
    for bad in ("nonsense", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"):
        refused(checked.create_certificate_from_csr, 400, "InvalidRequestException", certificateSigningRequest=bad)


def test_a_certificate_is_described_updated_listed_and_deleted(checked, certificate):
    identity = certificate["certificateId"]
    told = checked.describe_certificate(certificateId=identity)["certificateDescription"]
    assert told["certificateArn"] == certificate["certificateArn"] and told["status"] == "ACTIVE"
    assert told["certificatePem"] == certificate["certificatePem"]
    assert told["ownedBy"] == "000000000000" and told["certificateMode"] == "DEFAULT"
    assert told["validity"]["notBefore"] < told["validity"]["notAfter"]
    assert told["creationDate"] <= told["lastModifiedDate"] and told["customerVersion"] >= 1
    listed = [one for one in checked.list_certificates(pageSize=250)["certificates"]
              if one["certificateId"] == identity]
    assert listed[0]["status"] == "ACTIVE"
    text = f"Certificate must be deactivated (not ACTIVE) before deletion. Id: {identity}"
    refused(checked.delete_certificate, 406, "CertificateStateException", text, certificateId=identity)
    checked.update_certificate(certificateId=identity, newStatus="INACTIVE")
    checked.delete_certificate(certificateId=identity)
    refused(checked.describe_certificate, 404, "ResourceNotFoundException", certificateId=identity)


def test_an_attached_certificate_cannot_be_deleted(checked, certificate):
    identity, principal = certificate["certificateId"], certificate["certificateArn"]
    checked.update_certificate(certificateId=identity, newStatus="INACTIVE")
    checked.create_thing(thingName="holder")
    checked.attach_thing_principal(thingName="holder", principal=principal)
    refused(checked.delete_certificate, 409, "DeleteConflictException",
            f"Things must be detached before deletion (arn: {principal})", certificateId=identity)
    refused(checked.delete_thing, 400, "InvalidRequestException",
            "Cannot delete. Thing holder is still attached to one or more principals", thingName="holder")
    checked.detach_thing_principal(thingName="holder", principal=principal)
    checked.create_policy(policyName="held", policyDocument=DOCUMENT)
    checked.attach_policy(policyName="held", target=principal)
    refused(checked.delete_certificate, 409, "DeleteConflictException",
            f"Certificate policies must be detached before deletion (arn: {principal})", certificateId=identity)
    refused(checked.delete_policy, 409, "DeleteConflictException",
            "The policy cannot be deleted as the policy is attached to one or more principals (name=held)",
            policyName="held")
    checked.delete_certificate(certificateId=identity, forceDelete=True)
    checked.delete_policy(policyName="held")
    checked.delete_thing(thingName="holder")


def test_certificates_are_paged_by_marker(ombra):
    iot = ombra.client("iot", "555555555555")
    key = ec.generate_private_key(ec.SECP256R1())
    made = {iot.create_certificate_from_csr(certificateSigningRequest=request_for(key, f"c{number}"))["certificateId"]
            for number in range(5)}
    found, marker = [], {}
    for _ in range(5):
        page = iot.list_certificates(pageSize=2, **marker)
        found += [one["certificateId"] for one in page["certificates"]]
        if "nextMarker" not in page:
            break
        marker = {"marker": page["nextMarker"]}
    assert sorted(found) == sorted(made)


# Policies.


def test_a_policy_has_up_to_five_versions(checked):
    made = checked.create_policy(policyName="p", policyDocument=DOCUMENT)
    assert made == {"policyName": "p", "policyArn": arn("policy/p"), "policyDocument": DOCUMENT, "policyVersionId": "1"}
    refused(checked.create_policy, 409, "ResourceAlreadyExistsException",
            "Policy cannot be created - name already exists (name=p)", policyName="p", policyDocument=DOCUMENT)
    for number in range(2, 6):
        version = checked.create_policy_version(policyName="p", policyDocument=DOCUMENT, setAsDefault=number == 3)
        assert (version["policyVersionId"], version["isDefaultVersion"]) == (str(number), number == 3)
    refused(checked.create_policy_version, 409, "VersionsLimitExceededException",
            "The policy p already has the maximum number of versions (5)", policyName="p", policyDocument=DOCUMENT)
    told = checked.get_policy(policyName="p")
    assert (told["defaultVersionId"], told["policyDocument"]) == ("3", DOCUMENT)
    assert told["creationDate"] and told["lastModifiedDate"] and told["generationId"]
    listed = checked.list_policy_versions(policyName="p")["policyVersions"]
    assert sorted((one["versionId"], one["isDefaultVersion"]) for one in listed) == [
        (str(number), number == 3) for number in range(1, 6)
    ]
    assert checked.get_policy_version(policyName="p", policyVersionId="1")["isDefaultVersion"] is False
    refused(checked.delete_policy, 409, "DeleteConflictException",
            "Cannot delete the policy because it has one or more policy versions attached to it (name=p)",
            policyName="p")
    checked.set_default_policy_version(policyName="p", policyVersionId="1")
    refused(checked.delete_policy_version, 400, "InvalidRequestException",
            "Cannot delete the default version of a policy", policyName="p", policyVersionId="1")
    for number in range(2, 6):
        checked.delete_policy_version(policyName="p", policyVersionId=str(number))
    refused(checked.get_policy_version, 404, "ResourceNotFoundException", policyName="p", policyVersionId="2")
    checked.delete_policy(policyName="p")
    refused(checked.get_policy, 404, "ResourceNotFoundException", policyName="p")


@pytest.mark.parametrize(
    "document",
    ["", "{", "[]", '{"Version":"2012-10-17"}', '{"Version":"2020-01-01","Statement":[]}',
     '{"Version":"2012-10-17","Statement":[{"Effect":"Maybe","Action":"iot:*","Resource":"*"}]}',
     json.dumps(dict(ALLOW_ALL, Statement=[{"Effect": "Allow", "Action": "iot:*", "Resource": "x" * 2048}]))],
    ids=["empty", "cut", "list", "no_statement", "version", "effect", "too_long"],
)
def test_a_malformed_policy_is_refused(checked, document):
    refused(checked.create_policy, 400, "MalformedPolicyException", policyName="bad", policyDocument=document)
    refused(checked.get_policy, 404, "ResourceNotFoundException", policyName="bad")


def test_policies_are_attached_to_certificates_and_listed_from_both_sides(checked, certificate):
    target = certificate["certificateArn"]
    for name in ("att-1", "att-2"):
        checked.create_policy(policyName=name, policyDocument=DOCUMENT)
        checked.attach_policy(policyName=name, target=target)
        checked.attach_policy(policyName=name, target=target)
    listed = checked.list_attached_policies(target=target)["policies"]
    assert sorted(one["policyName"] for one in listed) == ["att-1", "att-2"]
    assert listed[0]["policyArn"] == arn(f"policy/{listed[0]['policyName']}")
    assert checked.list_targets_for_policy(policyName="att-1")["targets"] == [target]
    assert {"att-1", "att-2"} <= {one["policyName"] for one in checked.list_policies(pageSize=250)["policies"]}
    checked.detach_policy(policyName="att-1", target=target)
    assert [one["policyName"] for one in checked.list_attached_policies(target=target)["policies"]] == ["att-2"]
    nobody = arn("cert/" + "0" * 64)
    refused(checked.attach_policy, 404, "ResourceNotFoundException", policyName="att-1", target=nobody)
    refused(checked.attach_policy, 404, "ResourceNotFoundException", policyName="no-such", target=target)


def test_principals_are_attached_to_things_and_listed_from_both_sides(checked, certificate):
    principal = certificate["certificateArn"]
    for name in ("princ-1", "princ-2"):
        checked.create_thing(thingName=name)
        assert checked.attach_thing_principal(thingName=name, principal=principal) == {}
    assert checked.list_thing_principals(thingName="princ-1")["principals"] == [principal]
    assert sorted(checked.list_principal_things(principal=principal)["things"]) == ["princ-1", "princ-2"]
    kinds = [{"principal": principal, "thingPrincipalType": "NON_EXCLUSIVE_THING"}]
    assert checked.list_thing_principals_v2(thingName="princ-1")["thingPrincipalObjects"] == kinds
    told = checked.list_principal_things_v2(principal=principal)["principalThingObjects"]
    assert sorted(one["thingName"] for one in told) == ["princ-1", "princ-2"]
    checked.create_thing(thingName="princ-3")
    refused(checked.attach_thing_principal, 400, "InvalidRequestException", thingName="princ-3", principal=principal,
            thingPrincipalType="EXCLUSIVE_THING")
    checked.detach_thing_principal(thingName="princ-1", principal=principal)
    assert checked.list_principal_things(principal=principal)["things"] == ["princ-2"]
    refused(checked.attach_thing_principal, 404, "ResourceNotFoundException", thingName="no-such", principal=principal)
    refused(checked.attach_thing_principal, 404, "ResourceNotFoundException", thingName="princ-1",
            principal=arn("cert/" + "0" * 64))


def test_the_older_names_for_attaching_policies_work_too(checked, certificate):
    principal = certificate["certificateArn"]
    checked.create_policy(policyName="older", policyDocument=DOCUMENT)
    checked.attach_principal_policy(policyName="older", principal=principal)
    assert [one["policyName"] for one in checked.list_principal_policies(principal=principal)["policies"]] == ["older"]
    assert checked.list_policy_principals(policyName="older")["principals"] == [principal]
    checked.detach_principal_policy(policyName="older", principal=principal)
    assert checked.list_principal_policies(principal=principal)["policies"] == []


# Endpoints.


@pytest.mark.parametrize("kind", ["iot:Data", "iot:Data-ATS", "iot:CredentialProvider", "iot:Jobs"])
def test_each_endpoint_is_a_name_that_our_certificate_covers(ombra, checked, kind):
    address = checked.describe_endpoint(endpointType=kind)["endpointAddress"]
    host = address.split(":")[0]
    assert host and "/" not in address
    with tls_socket(ombra, tls_context(ombra), "tls") as tls:
        names = [name for _, name in tls.getpeercert()["subjectAltName"]]
    assert host in names


def test_an_unknown_endpoint_type_is_refused(checked):
    refused(checked.describe_endpoint, 400, "InvalidRequestException", "Endpoint type iot:Tea not recognized.",
            endpointType="iot:Tea")


# The data plane.


def shadow_of(answer) -> dict:
    """The document in an answer's stream."""
    return json.load(answer["payload"])


def test_shadows_are_written_read_listed_and_deleted(data):
    text = "No shadow exists with name: 'sh'"
    refused(data.get_thing_shadow, 404, "ResourceNotFoundException", text, thingName="sh")
    body = json.dumps({"state": {"desired": {"a": 1}}, "clientToken": "tok"}).encode()
    told = shadow_of(data.update_thing_shadow(thingName="sh", payload=body))
    assert (told["state"], told["version"], told["clientToken"]) == ({"desired": {"a": 1}}, 1, "tok")
    for name in ("one", "two", "three"):
        data.update_thing_shadow(thingName="sh", shadowName=name, payload=b'{"state":{"reported":{"n":1}}}')
    listed = data.list_named_shadows_for_thing(thingName="sh")
    assert sorted(listed["results"]) == ["one", "three", "two"] and listed["timestamp"]
    first = data.list_named_shadows_for_thing(thingName="sh", pageSize=2)
    rest = data.list_named_shadows_for_thing(thingName="sh", pageSize=2, nextToken=first["nextToken"])
    assert sorted(first["results"] + rest["results"]) == ["one", "three", "two"] and "nextToken" not in rest
    assert shadow_of(data.get_thing_shadow(thingName="sh"))["state"] == {"desired": {"a": 1}, "delta": {"a": 1}}
    assert shadow_of(data.delete_thing_shadow(thingName="sh", shadowName="one"))["version"] == 1
    refused(data.get_thing_shadow, 404, "ResourceNotFoundException", "No shadow exists with name: 'sh~one'",
            thingName="sh", shadowName="one")
    assert shadow_of(data.get_thing_shadow(thingName="sh"))["version"] == 1
    assert data.list_named_shadows_for_thing(thingName="never-was")["results"] == []


def test_a_shadow_version_must_match(data):
    data.update_thing_shadow(thingName="sv", payload=b'{"state":{"desired":{"a":1}}}')
    data.update_thing_shadow(thingName="sv", payload=b'{"state":{"desired":{"a":2}},"version":1}')
    refused(data.update_thing_shadow, 409, "ConflictException", "Version conflict", thingName="sv",
            payload=b'{"state":{"desired":{"a":3}},"version":1}')
    assert shadow_of(data.get_thing_shadow(thingName="sv"))["state"]["desired"] == {"a": 2}


def test_updates_over_http_are_told_to_mqtt_subscribers(data, workshop):
    device = workshop.device()
    suffixes = ["update/accepted", "update/delta", "update/documents", "delete/accepted"]
    with device.connect() as wire:
        wire.subscribe(*map(device.shadow, suffixes), qos=1)
        data.update_thing_shadow(thingName=device.name, payload=b'{"state":{"desired":{"a":1}}}')
        heard = {message.topic: json.loads(message.payload) for message in (wire.message() for _ in range(3))}
        assert heard[device.shadow("update/delta")]["state"] == {"a": 1}
        assert heard[device.shadow("update/documents")]["previous"] is None
        assert heard[device.shadow("update/accepted")]["state"] == {"desired": {"a": 1}}
        data.delete_thing_shadow(thingName=device.name)
        assert json.loads(wire.message_on(device.shadow("delete/accepted")).payload)["version"] == 1


def test_a_message_published_over_http_reaches_a_subscriber(data, workshop):
    with workshop.device().connect(V5) as wire:
        wire.subscribe("http/#", qos=1)
        data.publish(
            topic="http/a b/ä", qos=1, payload=b"\x00\x01", contentType="text/plain", responseTopic="answer/here",
            correlationData="AAE=", userProperties=json.dumps([{"k": "v"}]), payloadFormatIndicator="UTF8_DATA",
        )
        message = wire.message()
        assert (message.topic, message.payload, message.qos) == ("http/a b/ä", b"\x00\x01", 1)
        assert message.props["user_property"] == [("k", "v")]
        assert (message.props["content_type"], message.props["response_topic"]) == ("text/plain", "answer/here")
        assert message.props["correlation_data"] == b"\x00\x01"
        assert message.props["payload_format_indicator"] == 1
    refused(data.publish, 400, "InvalidRequestException", topic="http/+", payload=b"")


def test_publishing_to_a_shadow_topic_over_http_reaches_the_shadow(data):
    data.publish(topic="$aws/things/via-topic/shadow/update", payload=b'{"state":{"desired":{"a":1}}}')
    assert shadow_of(data.get_thing_shadow(thingName="via-topic"))["version"] == 1


def test_retained_messages_are_got_listed_and_cleared(ombra):
    data = Checked(ombra.client("iot-data", "666666666666"))
    for number in range(3):
        data.publish(topic=f"kept/{number}", retain=True, qos=1, payload=f"m{number}".encode())
    data.publish(topic="kept/0", payload=b"passing")
    told = data.get_retained_message(topic="kept/0")
    assert (told["topic"], told["payload"], told["qos"]) == ("kept/0", b"m0", 1)
    now = datetime.datetime.now().timestamp() * 1000
    assert abs(told["lastModifiedTime"] - now) < 60_000
    first = data.list_retained_messages(maxResults=2)
    rest = data.list_retained_messages(maxResults=2, nextToken=first["nextToken"])
    everything = first["retainedTopics"] + rest["retainedTopics"]
    assert sorted((one["topic"], one["payloadSize"], one["qos"]) for one in everything) == [
        (f"kept/{number}", 2, 1) for number in range(3)
    ]
    data.publish(topic="kept/0", retain=True, payload=b"")
    refused(data.get_retained_message, 404, "ResourceNotFoundException", topic="kept/0")


# The whole surface.


def test_accounts_and_regions_are_worlds_of_their_own(ombra):
    places = [(None, "us-east-1"), ("777777777777", "us-east-1"), ("777777777777", "eu-central-1")]
    for account, region in places:
        iot, data = ombra.client("iot", account, region), ombra.client("iot-data", account, region)
        iot.create_thing(thingName="only-here", attributePayload={"attributes": {"region": region}})
        told = iot.describe_thing(thingName="only-here")
        assert told["thingArn"] == arn("thing/only-here", account or "000000000000", region)
        payload = json.dumps({"state": {"desired": {"in": [str(account), region]}}}).encode()
        assert shadow_of(data.update_thing_shadow(thingName="only-here", payload=payload))["version"] == 1
    for account, region in places:
        desired = shadow_of(ombra.client("iot-data", account, region).get_thing_shadow(thingName="only-here"))
        assert desired["state"]["desired"] == {"in": [str(account), region]}
    ombra.client("iot", "777777777777", "eu-central-1").delete_thing(thingName="only-here")
    ombra.client("iot", "777777777777", "us-east-1").describe_thing(thingName="only-here")
    empty = ombra.client("iot", "888888888888")
    assert empty.list_things()["things"] == empty.list_certificates()["certificates"] == []


def built() -> dict[str, set[str]]:
    """The operations of each service that the documentation lists as built."""
    listed, service = {}, ""
    for line in OPERATIONS.read_text().splitlines():
        if line.startswith("## "):
            service = line[3:].partition(":")[0]
        elif line.startswith("- "):
            listed.setdefault(service, set()).add(line[2:])
    return listed


def in_the_uri(shape) -> dict:
    """What a request needs so that it can be sent at all."""
    wanted, plausible = {"uri", "querystring", "header"}, {"timestamp": 0, "integer": 1, "list": ["x"]}
    members = {name: shape.members[name] for name in getattr(shape, "required_members", [])}
    return {name: plausible.get(member.type_name, "x") for name, member in members.items()
            if member.serialization.get("location") in wanted}


SERVICES = [
    "iot", "iot-data", "iot-jobs-data", "lambda", "dynamodb", "logs", "cloudwatch", "iam", "sts", "secretsmanager",
]
#: Asked without a signature.
NOT_TOLD_APART = {"AssumeRoleWithSAML", "AssumeRoleWithWebIdentity"}


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_that_is_not_built_says_so_by_name(unchecked, service):
    client = unchecked(service)
    wrong = {}
    for operation in set(client.meta.service_model.operation_names) - built().get(service, set()) - NOT_TOLD_APART:
        shape = client.meta.service_model.operation_model(operation).input_shape
        try:
            answer = getattr(client, xform_name(operation))(**in_the_uri(shape))
        except ClientError as error:
            answer = error.response
        told = answer["ResponseMetadata"]["HTTPStatusCode"], answer.get("Error", {}).get("Code")
        if told != (501, "NotImplementedException") or operation not in answer["Error"]["Message"]:
            wrong[operation] = answer.get("Error", told)
    assert wrong == {}


@pytest.mark.parametrize("service", ["iot", "iot-data"])
def test_every_operation_that_is_built_is_called_somewhere(service):
    source = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    called = {operation for operation in built()[service]
              if f".{xform_name(operation)}" in source or xform_name(operation).replace("_", "-") in source}
    assert built()[service] - called == set()


def test_levels_of_logging_are_set_listed_and_taken_away(iot):
    role = "arn:aws:iam::000000000000:role/logs"
    iot.set_v2_logging_options(roleArn=role, defaultLogLevel="ERROR")
    target = {"targetType": "CLIENT_ID", "targetName": "talkative"}
    iot.set_v2_logging_level(logTarget=target, logLevel="DEBUG")
    listed = iot.list_v2_logging_levels(targetType="CLIENT_ID")["logTargetConfigurations"]
    assert [(one["logTarget"], one["logLevel"]) for one in listed] == [(target, "DEBUG")]
    iot.delete_v2_logging_level(targetType="CLIENT_ID", targetName="talkative")
    assert iot.list_v2_logging_levels(targetType="CLIENT_ID")["logTargetConfigurations"] == []
    iot.set_logging_options(loggingOptionsPayload={"roleArn": role, "logLevel": "WARN"})
    assert iot.get_logging_options() | {"ResponseMetadata": None} == {
        "roleArn": role, "logLevel": "WARN", "ResponseMetadata": None}
    iot.set_v2_logging_options(disableAllLogs=True)


def test_another_service_is_refused_by_name(ombra):
    answer = refused(ombra.client("greengrass").list_groups, 501, "NotImplementedException")
    assert "greengrass" in answer["Error"]["Message"]


@pytest.mark.parametrize(
    ("service", "operation"), [("kinesis", "list_streams"), ("sns", "list_topics"), ("ec2", "describe_instances")]
)
def test_another_service_is_refused_in_its_own_protocol(ombra, service, operation):
    answer = refused(getattr(ombra.client(service), operation), 501, "NotImplementedException")
    assert service in answer["Error"]["Message"]


def test_the_caller_is_told_who_it_is(ombra):
    told = ombra.client("sts").get_caller_identity()
    assert told["Account"] == "000000000000" and told["Arn"].startswith("arn:aws:") and told["UserId"]
    assert ombra.client("sts", "777777777777").get_caller_identity()["Account"] == "777777777777"


@pytest.fixture(scope="module")
def unchecked(ombra):
    """Makes clients that send whatever they are given."""
    config = Config(parameter_validation=False, retries={"total_max_attempts": 1}, inject_host_prefix=False)
    return lambda service: boto3.client(
        service, region_name="us-east-1", endpoint_url=ombra.url, aws_access_key_id="test",
        aws_secret_access_key="test", config=config,
    )


def test_what_the_client_does_not_check_the_server_does(unchecked):
    iot = unchecked("iot")
    refused(iot.create_policy, 400, "InvalidRequestException", policyName="unchecked")
    refused(iot.update_certificate, 400, "InvalidRequestException", certificateId="ab" * 32, newStatus="MAYBE")
    refused(iot.list_things, 400, "InvalidRequestException", maxResults=0)
    refused(iot.list_things, 400, "SerializationException", maxResults="many")

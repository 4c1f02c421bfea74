"""Buckets and objects as boto3 and the AWS CLI use them: what is put comes back, in parts and in pieces, signed now or beforehand.

What is acknowledged is on disk, what is not leaves nothing behind, and however long a body is, the server's memory is not.
"""

import contextlib
import http.client
import os
import socket
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import boto3
import pytest
from botocore.client import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from house import PATIENCE, REGION, aws_cli, wait_for

MEBIBYTE = 1 << 20
#: Kilobytes that the server's memory may grow by, whatever goes in and out.
GROWTH = 64 * 1024
BUCKET = "bucket"
pytestmark = pytest.mark.timeout(180)


def over_tls(ombra):
    """A client of the TLS door, where SDKs send checksums after bodies that they do not sign."""
    return boto3.session.Session().client(
        "s3", region_name=REGION, endpoint_url=f"https://localhost:{ombra.address('tls')[1]}", verify=str(ombra.ca),
        config=Config(retries={"total_max_attempts": 1}, read_timeout=PATIENCE),
        aws_access_key_id="test", aws_secret_access_key="test",
    )


@pytest.fixture(scope="module")
def s3(ombra):
    """A client, and a bucket."""
    client = ombra.client("s3")
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture(scope="module", params=["http", "https"])
def either(request, ombra, s3):
    """A client of one door or the other."""
    return s3 if request.param == "http" else over_tls(ombra)


@contextlib.contextmanager
def refused(code: str, status: int | None = None):
    """What is done inside is refused with this code."""
    with pytest.raises(ClientError) as caught:
        yield
    assert caught.value.response["Error"]["Code"] == code, caught.value
    assert status is None or caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def files(ombra) -> set[str]:
    """The files that hold long bodies."""
    return {path.name for path in (ombra.data / "objects").iterdir()}


def fetched(url: str, method: str = "GET", body: bytes | None = None, headers: dict | None = None):
    """Status, headers and body of a plain request."""
    request = urllib.request.Request(url, method=method, data=body, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def asked_in(url: str, **parameters) -> str:
    """The address with other values of some parameters."""
    parts = urllib.parse.urlsplit(url)
    query = dict(urllib.parse.parse_qsl(parts.query)) | parameters
    return parts._replace(query=urllib.parse.urlencode(query)).geturl()


# Objects.


@pytest.mark.parametrize("size", [0, 5, 64 * 1024, 64 * 1024 + 1, 3 * MEBIBYTE])
def test_what_is_put_comes_back(either, size):
    body = os.urandom(size)
    put = either.put_object(
        Bucket=BUCKET, Key="whole/ü &+ b", Body=body, ContentType="text/x", CacheControl="no-store",
        Metadata={"room": "attic"}, Tagging="a=1&b=2",
    )
    got = either.get_object(Bucket=BUCKET, Key="whole/ü &+ b")
    assert got["Body"].read() == body
    assert got["ETag"] == put["ETag"] and got["ChecksumCRC32"] == put["ChecksumCRC32"]
    assert (got["ContentType"], got["CacheControl"], got["Metadata"]) == ("text/x", "no-store", {"room": "attic"})
    assert got["TagCount"] == 2 and "ContentEncoding" not in got
    head = either.head_object(Bucket=BUCKET, Key="whole/ü &+ b")
    assert head["ContentLength"] == size and head["LastModified"] == got["LastModified"]


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_every_checksum_is_kept_and_checked(either, algorithm):
    key, member = f"sums/{algorithm}", f"Checksum{algorithm}"
    put = either.put_object(Bucket=BUCKET, Key=key, Body=b"123456789" * 20_000, ChecksumAlgorithm=algorithm)
    got = either.get_object(Bucket=BUCKET, Key=key, ChecksumMode="ENABLED")
    assert got[member] == put[member] and len(got["Body"].read()) == 180_000
    wrong = {"ChecksumAlgorithm": algorithm, member: either.put_object(
        Bucket=BUCKET, Key="sums/other", Body=b"other", ChecksumAlgorithm=algorithm)[member]}
    with refused("BadDigest", 400):
        either.put_object(Bucket=BUCKET, Key=key, Body=b"this", **wrong)
    assert either.head_object(Bucket=BUCKET, Key=key)["ContentLength"] == 180_000


def test_a_body_that_is_not_what_was_signed_is_refused(s3, ombra):
    with refused("BadDigest"):
        s3.put_object(Bucket=BUCKET, Key="bad", Body=b"a" * 100_000, ContentMD5="AAAAAAAAAAAAAAAAAAAAAA==")
    with refused("InvalidDigest"):
        s3.put_object(Bucket=BUCKET, Key="bad", Body=b"a", ContentMD5="no")
    with refused("404"):
        s3.head_object(Bucket=BUCKET, Key="bad")


def test_conditions_and_ranges_decide_what_comes_back(s3):
    etag = s3.put_object(Bucket=BUCKET, Key="digits", Body=b"0123456789")["ETag"]
    modified = s3.head_object(Bucket=BUCKET, Key="digits")["LastModified"]
    part = s3.get_object(Bucket=BUCKET, Key="digits", Range="bytes=2-4", IfMatch=etag)
    assert part["Body"].read() == b"234" and part["ContentRange"] == "bytes 2-4/10"
    assert s3.get_object(Bucket=BUCKET, Key="digits", Range="bytes=-2")["Body"].read() == b"89"
    with refused("InvalidRange", 416):
        s3.get_object(Bucket=BUCKET, Key="digits", Range="bytes=10-")
    with refused("PreconditionFailed", 412):
        s3.get_object(Bucket=BUCKET, Key="digits", IfMatch='"other"')
    for known in ({"IfNoneMatch": etag}, {"IfModifiedSince": modified}):
        with refused("304", 304):
            s3.get_object(Bucket=BUCKET, Key="digits", **known)
    with refused("PreconditionFailed", 412):
        s3.put_object(Bucket=BUCKET, Key="digits", Body=b"", IfNoneMatch="*")
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=BUCKET, Key="none")
    with refused("NoSuchBucket", 404):
        s3.put_object(Bucket="none-here", Key="k", Body=b"x" * 100_000)


def test_listings_go_through_all_keys(s3):
    s3.create_bucket(Bucket="listed")
    keys = sorted([f"logs/{day:02}/{part}" for day in range(1, 5) for part in "ab"] + ["a b+c", "logs", "z/ü"])
    for key in keys:
        s3.put_object(Bucket="listed", Key=key, Body=b"x")
    for version in ("list_objects", "list_objects_v2"):
        pages = list(s3.get_paginator(version).paginate(Bucket="listed", PaginationConfig={"PageSize": 3}))
        assert len(pages) == 4
        assert [entry["Key"] for page in pages for entry in page["Contents"]] == keys
        pages = list(s3.get_paginator(version).paginate(
            Bucket="listed", Delimiter="/", Prefix="logs/", PaginationConfig={"PageSize": 3}))
        sums = [entry["Prefix"] for page in pages for entry in page["CommonPrefixes"]]
        assert sums == ["logs/01/", "logs/02/", "logs/03/", "logs/04/"]
    answer = s3.delete_objects(Bucket="listed", Delete={"Objects": [{"Key": key} for key in [*keys, "none"]]})
    assert len(answer["Deleted"]) == len(keys) + 1 and "Errors" not in answer
    assert s3.list_objects_v2(Bucket="listed")["KeyCount"] == 0
    assert "Versions" not in s3.list_object_versions(Bucket="listed")
    s3.delete_bucket(Bucket="listed")
    with refused("NoSuchBucket"):
        s3.list_objects_v2(Bucket="listed")


def test_a_copy_is_an_object_of_its_own(s3):
    body = os.urandom(200_000)
    s3.put_object(Bucket=BUCKET, Key="from", Body=body, ContentType="a/b", Tagging="t=1")
    s3.copy_object(Bucket=BUCKET, Key="to", CopySource={"Bucket": BUCKET, "Key": "from"})
    s3.delete_object(Bucket=BUCKET, Key="from")
    got = s3.get_object(Bucket=BUCKET, Key="to")
    assert got["Body"].read() == body and got["ContentType"] == "a/b"
    assert s3.get_object_tagging(Bucket=BUCKET, Key="to")["TagSet"] == [{"Key": "t", "Value": "1"}]
    s3.put_object_tagging(Bucket=BUCKET, Key="to", Tagging={"TagSet": [{"Key": "u", "Value": ""}]})
    s3.copy_object(
        Bucket=BUCKET, Key="to", CopySource=f"{BUCKET}/to", MetadataDirective="REPLACE", Metadata={"now": "so"},
        ChecksumAlgorithm="SHA256",
    )
    head = s3.head_object(Bucket=BUCKET, Key="to", ChecksumMode="ENABLED")
    assert head["Metadata"] == {"now": "so"} and head["ContentType"] == "binary/octet-stream" and head["ChecksumSHA256"]
    assert s3.get_object_tagging(Bucket=BUCKET, Key="to")["TagSet"] == [{"Key": "u", "Value": ""}]


def test_what_is_not_built_says_so_by_name(s3):
    for ask in (
        lambda: s3.put_bucket_policy(Bucket=BUCKET, Policy="{}"),
        lambda: s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"}),
        lambda: s3.put_object(Bucket=BUCKET, Key="k", Body=b"", ServerSideEncryption="aws:kms"),
        lambda: s3.put_object(Bucket=BUCKET, Key="k", Body=b"", StorageClass="GLACIER"),
    ):
        with refused("NotImplemented", 501):
            ask()
    with refused("AccessControlListNotSupported"):
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"", ACL="public-read")
    assert "Status" not in s3.get_bucket_versioning(Bucket=BUCKET)


def test_all_that_tools_read_of_a_new_bucket_is_as_new_buckets_are(s3):
    s3.create_bucket(Bucket="fresh", CreateBucketConfiguration={"Tags": [{"Key": "room", "Value": "attic"}]})
    assert s3.get_bucket_tagging(Bucket="fresh")["TagSet"] == [{"Key": "room", "Value": "attic"}]
    for ask, code in (
        (s3.get_bucket_policy, "NoSuchBucketPolicy"),
        (s3.get_bucket_policy_status, "NoSuchBucketPolicy"),
        (s3.get_bucket_cors, "NoSuchCORSConfiguration"),
        (s3.get_bucket_website, "NoSuchWebsiteConfiguration"),
        (s3.get_bucket_lifecycle_configuration, "NoSuchLifecycleConfiguration"),
        (s3.get_bucket_replication, "ReplicationConfigurationNotFoundError"),
        (s3.get_bucket_encryption, "ServerSideEncryptionConfigurationNotFoundError"),
        (s3.get_object_lock_configuration, "ObjectLockConfigurationNotFoundError"),
    ):
        with refused(code, 404):
            ask(Bucket="fresh")
    acl = s3.get_bucket_acl(Bucket="fresh")
    [grant] = acl["Grants"]
    assert grant["Permission"] == "FULL_CONTROL" and grant["Grantee"]["Type"] == "CanonicalUser"
    assert grant["Grantee"]["ID"] == acl["Owner"]["ID"] == s3.list_buckets()["Owner"]["ID"]
    assert "Status" not in s3.get_bucket_accelerate_configuration(Bucket="fresh")
    assert s3.get_bucket_request_payment(Bucket="fresh")["Payer"] == "BucketOwner"
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket="fresh")
    assert set(s3.get_bucket_notification_configuration(Bucket="fresh")) == {"ResponseMetadata"}
    rules = s3.get_bucket_ownership_controls(Bucket="fresh")["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    blocks = s3.get_public_access_block(Bucket="fresh")["PublicAccessBlockConfiguration"]
    assert set(blocks.values()) == {True} and len(blocks) == 4
    s3.put_public_access_block(Bucket="fresh", PublicAccessBlockConfiguration={"BlockPublicAcls": False})
    blocks = s3.get_public_access_block(Bucket="fresh")["PublicAccessBlockConfiguration"]
    assert set(blocks.values()) == {False}


def test_an_object_tells_its_attributes(s3):
    put = s3.put_object(Bucket=BUCKET, Key="told", Body=b"0123456789", ChecksumAlgorithm="SHA256")
    told = s3.get_object_attributes(
        Bucket=BUCKET, Key="told", ObjectAttributes=["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"])
    assert told["ETag"] == put["ETag"].strip('"') and told["ObjectSize"] == 10 and told["StorageClass"] == "STANDARD"
    assert told["Checksum"]["ChecksumSHA256"] == put["ChecksumSHA256"]
    assert "ObjectParts" not in told


def test_buckets_belong_to_an_account_and_know_their_region(ombra, s3):
    west = ombra.client("s3", account="333333333333", region="eu-west-1")
    with refused("IllegalLocationConstraintException"):
        west.create_bucket(Bucket="mine")
    west.create_bucket(Bucket="mine", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    assert west.get_bucket_location(Bucket="mine")["LocationConstraint"] == "eu-west-1"
    assert west.head_bucket(Bucket="mine")["BucketRegion"] == "eu-west-1"
    assert s3.get_bucket_location(Bucket=BUCKET)["LocationConstraint"] is None
    assert [bucket["Name"] for bucket in west.list_buckets()["Buckets"]] == ["mine"]
    with refused("404"):
        s3.head_bucket(Bucket="mine")
    with refused("NoSuchBucket"):
        west.list_objects_v2(Bucket=BUCKET)


# Parts.


def test_a_long_object_goes_up_in_parts_and_comes_down_whole(ombra, either, tmp_path):
    up, down = tmp_path / "up", tmp_path / "down"
    up.write_bytes(os.urandom(20 * MEBIBYTE + 17))
    either.upload_file(str(up), BUCKET, "long", ExtraArgs={"Metadata": {"of": "parts"}})
    head = either.head_object(Bucket=BUCKET, Key="long", ChecksumMode="ENABLED")
    assert head["ETag"].endswith('-3"') and head["Metadata"] == {"of": "parts"}
    assert head["ChecksumType"] == "COMPOSITE" and head["ChecksumCRC32"].endswith("-3")
    either.download_file(BUCKET, "long", str(down))
    assert down.read_bytes() == up.read_bytes()
    across = either.get_object(Bucket=BUCKET, Key="long", Range=f"bytes={8 * MEBIBYTE - 2}-{16 * MEBIBYTE + 1}")
    assert across["Body"].read() == up.read_bytes()[8 * MEBIBYTE - 2 : 16 * MEBIBYTE + 2]
    either.copy({"Bucket": BUCKET, "Key": "long"}, BUCKET, "long-copy")
    assert either.get_object(Bucket=BUCKET, Key="long-copy")["Body"].read() == up.read_bytes()
    before = files(ombra)
    either.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "long"}, {"Key": "long-copy"}]})
    wait_for(lambda: len(before - files(ombra)) >= 6, "the files of two objects are gone")


def test_a_checksum_of_parts_is_that_of_the_whole_if_it_is_asked_for(s3):
    first, last = os.urandom(5 * MEBIBYTE), b"the end"
    whole = s3.put_object(Bucket=BUCKET, Key="whole", Body=first + last, ChecksumAlgorithm="CRC64NVME")
    upload = s3.create_multipart_upload(
        Bucket=BUCKET, Key="parts", ChecksumAlgorithm="CRC64NVME", ChecksumType="FULL_OBJECT")["UploadId"]
    names = {"Bucket": BUCKET, "Key": "parts", "UploadId": upload}
    parts = [
        {"PartNumber": number, "ETag": s3.upload_part(
            **names, PartNumber=number, Body=body, ChecksumAlgorithm="CRC64NVME")["ETag"]}
        for number, body in ((2, last), (1, first))
    ]
    assert [part["Size"] for part in s3.list_parts(**names)["Parts"]] == [len(first), len(last)]
    assert [entry["UploadId"] for entry in s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]] == [upload]
    with refused("InvalidPartOrder"):
        s3.complete_multipart_upload(**names, MultipartUpload={"Parts": parts})
    with refused("BadDigest"):
        s3.complete_multipart_upload(
            **names, MultipartUpload={"Parts": parts[::-1]}, ChecksumType="FULL_OBJECT", ChecksumCRC64NVME="AAAAAAAAAAA=")
    done = s3.complete_multipart_upload(
        **names, MultipartUpload={"Parts": parts[::-1]}, ChecksumType="FULL_OBJECT",
        ChecksumCRC64NVME=whole["ChecksumCRC64NVME"])
    assert done["ChecksumCRC64NVME"] == whole["ChecksumCRC64NVME"]
    with refused("NoSuchUpload"):
        s3.list_parts(**names)


def test_an_upload_that_is_given_up_leaves_no_file(ombra, s3):
    before = files(ombra)
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="never")["UploadId"]
    s3.upload_part(Bucket=BUCKET, Key="never", UploadId=upload, PartNumber=1, Body=b"part")
    assert len(files(ombra)) == len(before) + 1
    s3.abort_multipart_upload(Bucket=BUCKET, Key="never", UploadId=upload)
    wait_for(lambda: files(ombra) == before, "the part's file is gone")


# Addresses.


@pytest.mark.parametrize("signature", ["s3v4", "s3"])
def test_an_address_that_was_signed_beforehand_is_good_for_its_time(ombra, s3, signature):
    client = boto3.client(
        "s3", region_name=REGION, endpoint_url=ombra.url, aws_access_key_id="test", aws_secret_access_key="test",
        config=Config(signature_version=signature),
    )
    names = {"Bucket": BUCKET, "Key": "signed/a b"}
    put = client.generate_presigned_url("put_object", Params={**names, "Metadata": {"of": "url"}})
    # In the older form metadata stands in the address, in today's the client must send it.
    assert fetched(put, "PUT", b"signed", {} if signature == "s3" else {"x-amz-meta-of": "url"})[0] == 200
    assert s3.head_object(**names)["Metadata"] == {"of": "url"}
    got = client.generate_presigned_url("get_object", Params={**names, "ResponseContentType": "text/y"})
    status, headers, body = fetched(got)
    assert (status, headers["content-type"], body) == (200, "text/y", b"signed")
    if signature == "s3":
        late = client.generate_presigned_url("get_object", Params=names, ExpiresIn=-10)
    else:
        late = asked_in(got, **{"X-Amz-Date": "20240101T000000Z", "X-Amz-Credential": f"test/20240101/{REGION}/s3/aws4_request"})
    status, _, body = fetched(late)
    assert status == 403 and b"<Code>AccessDenied</Code><Message>Request has expired</Message>" in body


def test_an_address_that_nobody_signed_opens_nothing(ombra, s3):
    s3.put_object(Bucket=BUCKET, Key="closed", Body=b"secret")
    status, _, body = fetched(f"{ombra.url}/{BUCKET}/closed")
    assert status in (403, 404) and b"secret" not in body
    good = s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "closed"})
    bad = good.replace("AWSAccessKeyId=test", "AWSAccessKeyId=").replace("X-Amz-Credential=test", "X-Amz-Credential=")
    status, _, body = fetched(bad)
    assert status in (400, 403) and b"secret" not in body


def test_a_bucket_may_stand_in_the_name_of_the_host(ombra, s3):
    s3.put_object(Bucket=BUCKET, Key="hosted/k", Body=b"hosted")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "hosted/k"})
    address, port = ombra.address("http")
    connection = http.client.HTTPConnection(address, port, timeout=PATIENCE)
    target = url.split(f"/{BUCKET}", 1)[1]
    connection.request("GET", target, headers={"Host": f"{BUCKET}.localhost:{port}"})
    assert connection.getresponse().read() == b"hosted"
    connection.close()


def test_who_waits_with_a_body_is_told_that_a_refusal_ends_the_connection(ombra, s3):
    connection = http.client.HTTPConnection(*ombra.address("http"), timeout=PATIENCE)
    for call, method, length, ends in [("get_object", "GET", "0", False), ("put_object", "PUT", "5", True)]:
        url = s3.generate_presigned_url(call, Params={"Bucket": "none-here", "Key": "k"})
        connection.putrequest(method, url.removeprefix(ombra.url))
        connection.putheader("content-length", length)
        connection.putheader("expect", "100-continue")
        connection.endheaders()
        refused = connection.getresponse()
        assert (refused.status, refused.will_close) == (404, ends)
        assert b"NoSuchBucket" in refused.read()
    connection.close()


def test_a_refusal_reaches_a_client_that_has_sent_its_body_already(ombra, s3):
    url = s3.generate_presigned_url("put_object", Params={"Bucket": "none-here", "Key": "k"})
    status, _, body = fetched(url, "PUT", b"x" * 60_000)
    assert status == 404 and b"NoSuchBucket" in body


# The command line.


class Shell:
    """A prompt at which `aws s3` is typed."""

    def __init__(self, ombra, directory: Path):
        self.aws = aws_cli()
        self.directory, self.environment = directory, ombra.environment()

    def __call__(self, *words: str) -> str:
        done = subprocess.run(
            [self.aws, "s3", *words], cwd=self.directory, env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=PATIENCE * 2,
        )
        assert done.returncode == 0, f"aws s3 {' '.join(words)}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def test_the_command_line_makes_fills_lists_and_empties_a_bucket(ombra, tmp_path):
    aws = Shell(ombra, tmp_path)
    (tmp_path / "short.txt").write_text("short")
    (tmp_path / "long.bin").write_bytes(os.urandom(10 * MEBIBYTE))
    aws("mb", "s3://typed")
    assert "typed" in aws("ls")
    aws("cp", "short.txt", "s3://typed/dir/short.txt")
    aws("cp", "long.bin", "s3://typed/long.bin")
    aws("cp", "s3://typed/long.bin", "s3://typed/copy.bin")
    aws("cp", "s3://typed/copy.bin", "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == (tmp_path / "long.bin").read_bytes()
    listed = aws("ls", "s3://typed")
    assert "PRE dir/" in listed and f"{10 * MEBIBYTE} long.bin" in listed
    assert len(aws("ls", "--recursive", "s3://typed").splitlines()) == 3
    aws("sync", "s3://typed", "synced")
    assert (tmp_path / "synced/dir/short.txt").read_text() == "short"
    url = aws("presign", "s3://typed/dir/short.txt").strip()
    assert fetched(url)[2] == b"short"
    aws("rm", "s3://typed/copy.bin")
    aws("rb", "--force", "s3://typed")
    assert "typed" not in aws("ls")


# The disk and the memory.


def test_a_body_that_ends_early_leaves_nothing(ombra, s3):
    before = files(ombra)
    url = urllib.parse.urlsplit(s3.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "half"}))
    with socket.create_connection(ombra.address("http"), timeout=PATIENCE) as half:
        head = f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: x\r\nContent-Length: {9 * MEBIBYTE}\r\n\r\n"
        half.sendall(head.encode() + b"x" * MEBIBYTE)
        wait_for(lambda: files(ombra) - before, "the file is begun")
    wait_for(lambda: files(ombra) == before, "the file is gone")
    with refused("404"):
        s3.head_object(Bucket=BUCKET, Key="half")


def largest(ombra) -> int:
    """Kilobytes of memory that the server ever had."""
    status = Path(f"/proc/{ombra.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def test_memory_does_not_grow_with_what_goes_through(own_ombra, tmp_path):
    s3 = own_ombra.start().client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="first", Body=b"x" * MEBIBYTE)
    before = largest(own_ombra)
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(200 * MEBIBYTE)
    with huge.open("rb") as file:
        s3.put_object(Bucket=BUCKET, Key="huge", Body=file)
    read = s3.get_object(Bucket=BUCKET, Key="huge")["Body"]
    assert sum(len(piece) for piece in read.iter_chunks(MEBIBYTE)) == 200 * MEBIBYTE
    s3.copy_object(Bucket=BUCKET, Key="copy", CopySource=f"{BUCKET}/huge")
    assert s3.head_object(Bucket=BUCKET, Key="copy")["ContentLength"] == 200 * MEBIBYTE
    assert largest(own_ombra) - before < GROWTH


class Writer(threading.Thread):
    """Puts one object after the other until the server is gone; every third is long."""

    def __init__(self, ombra, name: str):
        super().__init__(daemon=True)
        self.s3, self.name = ombra.client("s3"), name
        self.promised: dict[str, bytes] = {}
        self.sent: dict[str, bytes] = {}

    def run(self):
        """Until it fails. Keys come back, so that objects are written over too."""
        number = 0
        with contextlib.suppress(BotoCoreError, ClientError, HTTPClientError, OSError):
            while True:
                key = f"{self.name}/{number % 7}"
                body = f"{number}:".encode() * (40_000 if number % 3 == 0 else 10)
                self.sent[key] = body
                self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
                self.promised[key] = body
                number += 1


def test_what_was_acknowledged_is_there_after_the_power_went(own_ombra):
    own_ombra.start().client("s3").create_bucket(Bucket=BUCKET)
    for turn in range(3):
        writers = [Writer(own_ombra, f"{turn}-{index}") for index in range(3)]
        for writer in writers:
            writer.start()
        wait_for(lambda: all(len(writer.promised) >= 5 for writer in writers), "every writer wrote", 60)
        own_ombra.kill()
        for writer in writers:
            writer.join(PATIENCE)
        s3 = own_ombra.start().client("s3")
        for writer in writers:
            for key, promised in writer.promised.items():
                body = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
                assert body in (promised, writer.sent[key]), key
    listed = s3.list_objects_v2(Bucket=BUCKET)["Contents"]
    long = [entry for entry in listed if entry["Size"] > 64 * 1024]
    assert long and len(files(own_ombra)) == len(long)

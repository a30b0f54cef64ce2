"""Channel bindings: what ties a login to the TLS connection it happens on (RFC 5929, XEP-0440)."""

from __future__ import annotations

from functools import lru_cache

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.x509 import Certificate, load_der_x509_certificate


@lru_cache(maxsize=64)  # asked for in each login, and a server has a few certificates
def tls_server_end_point(cert_der: bytes) -> bytes | None:
    """What binds a login to the server's certificate, given as DER; None where RFC 5929#4.1 defines nothing.

    ``ValueError`` if ``cert_der`` is no certificate.
    """
    certificate = load_der_x509_certificate(cert_der)
    algorithm = _signature_hash(certificate)
    if algorithm is None:
        return None
    if isinstance(algorithm, hashes.MD5 | hashes.SHA1):
        algorithm = hashes.SHA256()  # RFC 5929#4.1: these two are too weak
    return certificate.fingerprint(algorithm)


def _signature_hash(certificate: Certificate) -> hashes.HashAlgorithm | None:
    """The one hash of the certificate's signature; None for none (Ed25519), several, or an unknown one."""
    try:
        algorithm = certificate.signature_hash_algorithm
        parameters = certificate.signature_algorithm_parameters
    except (UnsupportedAlgorithm, ValueError):
        return None
    if algorithm is not None and isinstance(parameters, padding.PSS):
        # RSASSA-PSS has a second hash in its mask generation; only where both are the same it is a single one
        mask = getattr(parameters.mgf, "_algorithm", None)
        if mask is None or mask.name != algorithm.name:
            return None
    return algorithm

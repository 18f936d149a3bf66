#!/usr/bin/env bash
# Makes the certificates and keys of the TLS tests anew, beside this file. They protect nothing. Needs OpenSSL 3.
# Keys are PKCS#8 on P-256. Names are those under which a test reaches this machine, and a client's common name.
set -euo pipefail
cd "$(dirname "$0")"
room=$(mktemp -d)
trap 'rm -r "$room"' EXIT

key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }

# authority NAME: a certificate that may sign others.
authority() {
    key "$room/$1.key"
    openssl req -x509 -new -key "$room/$1.key" -out "$1.pem" -days 36500 -subj "/CN=$1" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
}

# signed NAME PURPOSE ALTERNATIVE_NAMES START END: a certificate by `authority`, for serverAuth or clientAuth.
signed() {
    key "$1.key"
    openssl req -new -key "$1.key" -subj "/CN=$1" -out "$room/$1.csr"
    printf 'extendedKeyUsage=%s\nsubjectAltName=%s\nbasicConstraints=CA:FALSE\n' "$2" "$3" >"$room/$1.ext"
    printf '[ca]\ndatabase=%s/index\nnew_certs_dir=%s\nrand_serial=yes\ndefault_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n' \
        "$room" "$room" >"$room/ca.conf"
    : >"$room/index"
    openssl ca -batch -notext -config "$room/ca.conf" -name ca -cert authority.pem -keyfile "$room/authority.key" \
        -in "$room/$1.csr" -extfile "$room/$1.ext" -startdate "$4" -enddate "$5" -out "$1.pem"
}

authority authority
authority stranger
signed broker serverAuth,clientAuth DNS:localhost,IP:127.0.0.1,IP:::1 20260101000000Z 21260101000000Z
signed elsewhere serverAuth DNS:broker.elsewhere.test 20260101000000Z 21260101000000Z
signed expired serverAuth DNS:localhost,IP:127.0.0.1 20200101000000Z 20210101000000Z
signed client clientAuth DNS:client.test 20260101000000Z 21260101000000Z

# own NAME ALGORITHM OPTION...: a key of some kind, and a certificate for localhost that it has signed itself, as `openssl req -x509` makes it.
own() {
    local name=$1 algorithm=$2
    shift 2
    openssl genpkey -algorithm "$algorithm" "$@" -out "forms/$name.key"
    openssl req -x509 -new -key "forms/$name.key" -out "forms/$name.pem" -days 36500 -subj /CN=localhost
}

mkdir -p forms
own p256 EC -pkeyopt ec_paramgen_curve:P-256
own p384 EC -pkeyopt ec_paramgen_curve:P-384
own p521 EC -pkeyopt ec_paramgen_curve:P-521
own ed25519 ED25519
own rsa2048 RSA -pkeyopt rsa_keygen_bits:2048
own rsa1024 RSA -pkeyopt rsa_keygen_bits:1024
openssl rsa -in forms/rsa2048.key -traditional -out forms/rsa2048-pkcs1.key
openssl rsa -in forms/rsa1024.key -traditional -out forms/rsa1024-pkcs1.key
openssl ec -in forms/p256.key -out forms/p256-sec1.key
openssl ec -in forms/p521.key -out forms/p521-sec1.key
# Encrypted: the password is "secret".
for cipher in aes-128-cbc aes-192-cbc aes-256-cbc; do
    openssl pkcs8 -topk8 -in forms/p256.key -v2 "$cipher" -passout pass:secret -out "forms/p256-$cipher.key"
done
openssl pkcs8 -topk8 -in forms/p256.key -v2 aes-256-cbc -v2prf hmacWithSHA512 -passout pass:secret -out forms/p256-sha512.key
openssl pkcs8 -topk8 -in forms/p256.key -v2 aes-256-cbc -v2prf hmacWithSHA1 -passout pass:secret -out forms/p256-sha1.key
openssl pkcs8 -topk8 -in forms/p256.key -scrypt -passout pass:secret -out forms/p256-scrypt.key
openssl rsa -in forms/rsa2048.key -traditional -aes128 -passout pass:secret -out forms/rsa2048-old.key
openssl pkcs12 -export -in forms/p256.pem -inkey forms/p256.key -passout pass:secret -out forms/p256.p12
openssl x509 -in forms/p256.pem -outform der -out forms/p256.der
openssl x509 -in forms/p256.pem -trustout -addtrust serverAuth -out forms/p256-trusted.pem
# A certificate that is no authority, and one that its key has signed all the same.
printf '[req]\ndistinguished_name=d\nprompt=no\nx509_extensions=e\n[d]\nCN=localhost\n[e]\nbasicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:localhost\n' > "$room/no-authority.conf"
openssl req -x509 -new -key forms/p384.key -out forms/no-authority.pem -days 36500 -config "$room/no-authority.conf"
openssl req -new -key forms/p256.key -subj /CN=localhost -out "$room/posing.csr"
printf 'subjectAltName=DNS:localhost\n' > "$room/posing.conf"
openssl x509 -req -in "$room/posing.csr" -CA forms/no-authority.pem -CAkey forms/p384.key -set_serial 2 -days 36500 -extfile "$room/posing.conf" -out forms/posing.pem

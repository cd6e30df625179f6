// SPDX-License-Identifier: Apache-2.0
// OpenSSL's public headers, found through pkg-config (Debian: libssl-dev, which libpq-dev brings
// along), what of them is a macro, and the system call for a file that no disk has.
#include <errno.h>
#include <linux/memfd.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/evperr.h>
#include <openssl/pem.h>
#include <openssl/pemerr.h>
#include <openssl/pkcs12.h>
#include <openssl/pkcs7.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/syscall.h>
#include <unistd.h>

// glibc has it, and shows it to programs of GNU only.
extern void *memmem(const void *, size_t, const void *, size_t);

/// Answers that there is no password, where OpenSSL would ask a terminal for one.
static inline int walrelay_no_password(char *buffer, int size, int writing, void *context) {
    (void)buffer, (void)size, (void)writing, (void)context;
    return -1;
}

static inline long walrelay_bio_data(BIO *bio, char **data) {
    return BIO_get_mem_data(bio, data);
}

/// The certificates of signed data, or NULL.
static inline STACK_OF(X509) *walrelay_pkcs7_certificates(PKCS7 *data) {
    return PKCS7_type_is_signed(data) && data->d.sign ? data->d.sign->cert : NULL;
}

/// Prints a name as RFC 2253 has it, letters beyond ASCII as they are; control characters escaped.
static inline void walrelay_print_name(BIO *bio, const X509_NAME *name) {
    X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
}

/// Whether one of this thread's errors says that an algorithm is not there; forgets them all.
static inline int walrelay_lacks_algorithm(void) {
    unsigned long error;
    int lacks = 0;
    while ((error = ERR_get_error()) != 0) {
        int reason = ERR_GET_REASON(error);
        lacks |= reason == ERR_R_UNSUPPORTED
            || (ERR_GET_LIB(error) == ERR_LIB_EVP
                && (reason == EVP_R_UNSUPPORTED_ALGORITHM || reason == EVP_R_UNSUPPORTED_CIPHER
                    || reason == EVP_R_UNKNOWN_PBE_ALGORITHM || reason == EVP_R_UNKNOWN_CIPHER));
    }
    return lacks;
}

/// Whether this thread's last error is that PEM ended; forgets the errors.
static inline int walrelay_pem_ended(void) {
    unsigned long error = ERR_peek_last_error();
    ERR_clear_error();
    return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

/// How often an encrypted key has its password stretched; 0 where it does not say, negative where
/// the number is beyond measure.
static inline long walrelay_stretching(const X509_SIG *key) {
    const X509_ALGOR *algorithm;
    const ASN1_OBJECT *kind;
    const void *value;
    int type;
    long count = 0;
    X509_SIG_get0(key, &algorithm, NULL);
    X509_ALGOR_get0(&kind, &type, &value, algorithm);
    if (type != V_ASN1_SEQUENCE) return 0;
    if (OBJ_obj2nid(kind) != NID_pbes2) {
        PBEPARAM *one = (PBEPARAM *)ASN1_item_unpack(
            (const ASN1_STRING *)value, ASN1_ITEM_rptr(PBEPARAM));
        if (one) count = ASN1_INTEGER_get(one->iter);
        PBEPARAM_free(one);
        return count;
    }
    PBE2PARAM *two = (PBE2PARAM *)ASN1_item_unpack(
        (const ASN1_STRING *)value, ASN1_ITEM_rptr(PBE2PARAM));
    if (two) {
        X509_ALGOR_get0(&kind, &type, &value, two->keyfunc);
        if (OBJ_obj2nid(kind) == NID_id_pbkdf2 && type == V_ASN1_SEQUENCE) {
            PBKDF2PARAM *stretching = (PBKDF2PARAM *)ASN1_item_unpack(
                (const ASN1_STRING *)value, ASN1_ITEM_rptr(PBKDF2PARAM));
            if (stretching) count = ASN1_INTEGER_get(stretching->iter);
            PBKDF2PARAM_free(stretching);
        }
    }
    PBE2PARAM_free(two);
    return count;
}

/// A file in memory, closed on exec, that its owner alone may read; -1 where there is none.
static inline int walrelay_memory_file(const char *name) {
    // Without this flag newer kernels complain in their log, or refuse; older ones do not know it.
    const unsigned int noExec = 0x0008U;
    int file = (int)syscall(SYS_memfd_create, name, MFD_CLOEXEC | noExec);
    if (file < 0 && errno == EINVAL) file = (int)syscall(SYS_memfd_create, name, MFD_CLOEXEC);
    return file;
}

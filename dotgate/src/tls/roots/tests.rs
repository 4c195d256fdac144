//! Trust anchors from files, variables and the program itself.

use std::fs;

use super::*;
use crate::demo::certificates::TestAuthority;

fn environment(file: Option<&Path>, directories: Option<&Path>) -> Environment {
    Environment {
        file: file.map(|path| path.as_os_str().to_owned()),
        directories: directories.map(|path| path.as_os_str().to_owned()),
    }
}

fn authorities_in(directory: &Path, name: &str, count: usize) -> PathBuf {
    let path = directory.join(name);
    let pem: Vec<String> = (0..count)
        .map(|_| TestAuthority::new().unwrap().pem().to_owned())
        .collect();
    fs::write(&path, pem.concat()).unwrap();
    path
}

#[test]
fn a_file_of_authorities_replaces_all_others() {
    let directory = tempfile::tempdir().unwrap();
    let path = authorities_in(directory.path(), "ca.pem", 2);
    let roots = Roots::load(Some(&path)).unwrap();
    assert_eq!(
        roots.describe(),
        format!("2 certificates from {}", path.display())
    );
}

#[test]
fn a_file_that_is_missing_empty_or_spoilt_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing.pem");
    assert!(matches!(
        Roots::load(Some(&missing)),
        Err(RootsError::Unreadable { .. })
    ));

    let empty = directory.path().join("empty.pem");
    fs::write(&empty, "no certificate here\n").unwrap();
    assert!(matches!(
        Roots::load(Some(&empty)),
        Err(RootsError::Empty { .. })
    ));

    let spoilt = authorities_in(directory.path(), "spoilt.pem", 1);
    let mut pem = fs::read_to_string(&spoilt).unwrap();
    pem.push_str("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    fs::write(&spoilt, pem).unwrap();
    let error = Roots::load(Some(&spoilt)).unwrap_err();
    assert!(
        matches!(error, RootsError::Unusable { number: 2, .. }),
        "{error}"
    );
}

#[test]
fn the_variables_are_honoured_together() {
    let directory = tempfile::tempdir().unwrap();
    let file = authorities_in(directory.path(), "file.pem", 1);
    let below = directory.path().join("certs");
    fs::create_dir(&below).unwrap();
    authorities_in(&below, "one.pem", 1);
    authorities_in(&below, "two.pem", 1);

    let roots = Roots::from_environment(environment(Some(&file), Some(&below))).unwrap();
    assert_eq!(
        roots.describe(),
        "3 certificates from SSL_CERT_FILE or SSL_CERT_DIR"
    );
    let roots = Roots::from_environment(environment(None, Some(&below))).unwrap();
    assert_eq!(
        roots.describe(),
        "2 certificates from SSL_CERT_FILE or SSL_CERT_DIR"
    );
}

#[test]
fn a_variable_that_leads_nowhere_is_an_error_and_no_fall_back() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let empty = directory.path().join("empty.pem");
    fs::write(&empty, "").unwrap();
    for path in [missing.as_path(), empty.as_path(), Path::new("")] {
        let error = Roots::from_environment(environment(Some(path), None)).unwrap_err();
        assert!(
            matches!(
                error,
                RootsError::Variable {
                    variable: "SSL_CERT_FILE",
                    ..
                }
            ),
            "{path:?}: {error}"
        );
    }
    let error = Roots::from_environment(environment(None, Some(&missing))).unwrap_err();
    assert!(
        matches!(
            error,
            RootsError::Variable {
                variable: "SSL_CERT_DIR",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_system_without_certificates_leaves_those_built_in() {
    let roots = Roots::from_system(CertificateResult::default()).unwrap();
    let count = webpki_roots::TLS_SERVER_ROOTS.len();
    assert_eq!(
        roots.describe(),
        format!("{count} certificates from those built in")
    );
}

#[test]
fn a_certificate_of_the_system_that_cannot_be_used_is_told() {
    let good = TestAuthority::new().unwrap().certificate().clone();
    let mut found = CertificateResult::default();
    found.certs = vec![good, CertificateDer::from(vec![1, 2, 3])];
    let roots = Roots::from_system(found).unwrap();
    assert_eq!(
        roots.describe(),
        "1 certificate from the system, 1 more cannot be used"
    );
}

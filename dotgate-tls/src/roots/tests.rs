//! Trust anchors from files, variables and the program itself.

use std::fs;

use dotgate_testbed::certificates::TestAuthority;

use super::*;

fn from_environment(file: Option<&Path>, folders: &[&Path]) -> Result<Roots, RootsError> {
    Roots::load(&AuthoritySources {
        ca_file: None,
        certificate_file: file.map(Path::to_owned),
        certificate_folders: folders.iter().map(|folder| (*folder).to_owned()).collect(),
    })
}

fn from_file(path: &Path) -> Result<Roots, RootsError> {
    Roots::load(&AuthoritySources {
        ca_file: Some(path.to_owned()),
        // What is set besides does not count.
        certificate_file: Some(path.join("missing")),
        certificate_folders: vec![path.join("missing")],
    })
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
    let roots = from_file(&path).unwrap();
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
        from_file(&missing),
        Err(RootsError::Unreadable { .. })
    ));

    let empty = directory.path().join("empty.pem");
    fs::write(&empty, "no certificate here\n").unwrap();
    assert!(matches!(from_file(&empty), Err(RootsError::Empty { .. })));

    let spoilt = authorities_in(directory.path(), "spoilt.pem", 1);
    let mut pem = fs::read_to_string(&spoilt).unwrap();
    pem.push_str("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    fs::write(&spoilt, pem).unwrap();
    let error = from_file(&spoilt).unwrap_err();
    assert!(
        matches!(error, RootsError::Unusable { number: 2, .. }),
        "{error}"
    );
}

#[test]
fn the_variables_are_honoured_together_and_each_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let file = authorities_in(directory.path(), "file.pem", 1);
    let below = directory.path().join("certs");
    let other = directory.path().join("others");
    fs::create_dir(&below).unwrap();
    fs::create_dir(&other).unwrap();
    authorities_in(&below, "one.pem", 1);
    authorities_in(&below, "two.pem", 1);
    authorities_in(&other, "three.pem", 1);
    fs::copy(&file, below.join("the-same.pem")).unwrap();

    let describe = |file, folders: &[&Path]| from_environment(file, folders).unwrap().describe();
    assert_eq!(
        describe(Some(&file), &[&below, &other]),
        "1 certificate from SSL_CERT_FILE, 3 from SSL_CERT_DIR"
    );
    assert_eq!(
        describe(Some(&file), &[]),
        "1 certificate from SSL_CERT_FILE"
    );
    assert_eq!(
        describe(None, &[&below]),
        "3 certificates from SSL_CERT_DIR"
    );
    let roots = from_environment(Some(&file), &[&below, &other]).unwrap();
    assert_eq!(roots.store().len(), 4);
}

#[test]
fn a_variable_that_leads_nowhere_is_an_error_and_no_fall_back() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let empty = directory.path().join("empty.pem");
    fs::write(&empty, "").unwrap();
    for path in [missing.as_path(), empty.as_path()] {
        let error = from_environment(Some(path), &[]).unwrap_err();
        let expected = format!(
            "SSL_CERT_FILE is {}, which has no readable certificate",
            path.display()
        );
        assert_eq!(error.to_string(), expected);
    }
    let error = from_environment(None, &[&missing]).unwrap_err();
    let expected = format!(
        "SSL_CERT_DIR is {}, which has no readable certificate",
        missing.display()
    );
    assert_eq!(error.to_string(), expected);
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
fn an_unusable_system_certificate_is_reported() {
    let good = TestAuthority::new().unwrap().certificate().clone();
    let mut found = CertificateResult::default();
    found.certs = vec![good, CertificateDer::from(vec![1, 2, 3])];
    let roots = Roots::from_system(found).unwrap();
    assert_eq!(
        roots.describe(),
        "1 certificate from the system, 1 more cannot be used"
    );
}

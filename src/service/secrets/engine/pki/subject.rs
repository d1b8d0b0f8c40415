//! Who a certificate is for: the subject, and its other names.
//!
//! Never decides who may have which.

use std::net::IpAddr;

use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::{Any, Ia5String, ObjectIdentifier, PrintableStringRef, SetOfVec, Utf8StringRef};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};

use super::oids;
use crate::base::limits::{MAXIMUM_PKI_NAME_BYTES, MAXIMUM_PKI_NAMES};
use crate::service::secrets::engine::Fault;

/// The parts of a subject.
#[derive(Debug, Clone, Default)]
pub struct Subject {
    /// What it is called; empty: nothing.
    pub common_name: String,
    /// Its serial number, which is not that of the certificate; empty: none.
    pub serial_number: String,
    /// Its organizations.
    pub organization: Vec<String>,
    /// Units of these.
    pub ou: Vec<String>,
    /// Its countries.
    pub country: Vec<String>,
    /// Its localities.
    pub locality: Vec<String>,
    /// Its provinces.
    pub province: Vec<String>,
    /// Its streets.
    pub street_address: Vec<String>,
    /// Its postal codes.
    pub postal_code: Vec<String>,
}

impl Subject {
    /// As it stands in a certificate: from the country down to the name; what there are several of stands together.
    ///
    /// # Errors
    /// A text is too long.
    pub fn name(&self) -> Result<Name, Fault> {
        let one = |text: &String| match text.as_str() {
            "" => Vec::new(),
            text => vec![text.to_owned()],
        };
        let parts: [(ObjectIdentifier, &[String]); 9] = [
            (oids::COUNTRY, &self.country),
            (oids::ORGANIZATION, &self.organization),
            (oids::UNIT, &self.ou),
            (oids::LOCALITY, &self.locality),
            (oids::PROVINCE, &self.province),
            (oids::STREET, &self.street_address),
            (oids::POSTAL_CODE, &self.postal_code),
            (oids::COMMON_NAME, &one(&self.common_name)),
            (oids::SERIAL_NUMBER, &one(&self.serial_number)),
        ];
        let mut sequence = Vec::new();
        for (oid, values) in parts {
            let mut attributes: Vec<AttributeTypeAndValue> = Vec::new();
            for text in values {
                let attribute = AttributeTypeAndValue {
                    oid,
                    value: value(text)?,
                };
                if !attributes.contains(&attribute) {
                    attributes.push(attribute);
                }
            }
            if !attributes.is_empty() {
                let set = SetOfVec::try_from(attributes).map_err(|_| unwritable("the subject"))?;
                sequence.push(RelativeDistinguishedName(set));
            }
        }
        Ok(RdnSequence(sequence))
    }
}

fn value(text: &str) -> Result<Any, Fault> {
    short(text)?;
    let written = match PrintableStringRef::new(text) {
        Ok(text) => Any::encode_from(&text),
        Err(_) => Utf8StringRef::new(text).and_then(|text| Any::encode_from(&text)),
    };
    written.map_err(|_| unwritable(text))
}

fn short(text: &str) -> Result<(), Fault> {
    match text.len() {
        0..=MAXIMUM_PKI_NAME_BYTES => Ok(()),
        length => Err(Fault::Invalid(format!(
            "a name has {length} bytes; the most is {MAXIMUM_PKI_NAME_BYTES}"
        ))),
    }
}

fn unwritable(what: &str) -> Fault {
    Fault::Invalid(format!("{what:?} cannot be written into a certificate"))
}

/// The first text of a kind in a subject.
#[must_use]
pub fn attribute(name: &Name, wanted: ObjectIdentifier) -> Option<String> {
    let mut attributes = name.0.iter().flat_map(|set| set.0.iter());
    let found = attributes.find(|attribute| attribute.oid == wanted)?;
    String::from_utf8(found.value.value().to_vec()).ok()
}

/// The other names of a subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Host names.
    pub hosts: Vec<String>,
    /// Mail addresses.
    pub mails: Vec<String>,
    /// Addresses of the network.
    pub addresses: Vec<IpAddr>,
    /// URIs.
    pub uris: Vec<String>,
}

impl Names {
    /// Reads the names of a request; those with an at sign are mail addresses.
    ///
    /// # Errors
    /// An address is none.
    pub fn parse(names: Vec<String>, addresses: &[String], uris: Vec<String>) -> Result<Self, Fault> {
        let (mails, hosts) = names.into_iter().partition(|name| name.contains('@'));
        let addresses = addresses.iter().map(|text| {
            let wrong = |_| Fault::Invalid(format!("the value {text:?} is not a valid IP address"));
            text.parse::<IpAddr>().map_err(wrong)
        });
        Ok(Self {
            hosts,
            mails,
            addresses: addresses.collect::<Result<_, _>>()?,
            uris,
        })
    }

    /// Adds a name that also stands in the subject, if it is that of a host or a mail address.
    pub fn add(&mut self, name: &str) {
        let list = match name.contains('@') {
            true => &mut self.mails,
            false if super::constraints::is_host(name) => &mut self.hosts,
            false => return,
        };
        if !list.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            list.insert(0, name.to_owned());
        }
    }

    /// Reads the names of a request in PKCS #10.
    ///
    /// # Errors
    /// It has names of a kind that is not offered.
    pub fn of(names: &[GeneralName]) -> Result<Self, Fault> {
        let mut read = Self::default();
        for name in names {
            match name {
                GeneralName::DnsName(name) => read.hosts.push(name.as_str().to_owned()),
                GeneralName::Rfc822Name(name) => read.mails.push(name.as_str().to_owned()),
                GeneralName::UniformResourceIdentifier(name) => read.uris.push(name.as_str().to_owned()),
                GeneralName::IpAddress(bytes) => read.addresses.push(address(bytes.as_bytes())?),
                _ => {
                    return Err(Fault::Unimplemented(
                        "a subject alternative name that is neither host, mail address, IP address nor URI"
                            .to_owned(),
                    ));
                }
            }
        }
        Ok(read)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }

    /// As they stand in a certificate.
    ///
    /// # Errors
    /// There are too many, or one is too long or has characters that it cannot have.
    pub fn general(&self) -> Result<Vec<GeneralName>, Fault> {
        let count = self.hosts.len() + self.mails.len() + self.addresses.len() + self.uris.len();
        if count > MAXIMUM_PKI_NAMES {
            return Err(Fault::Invalid(format!(
                "the certificate would have {count} names; the most is {MAXIMUM_PKI_NAMES}"
            )));
        }
        let text = |text: &String| {
            short(text)?;
            Ia5String::new(text).map_err(|_| unwritable(text))
        };
        let mut names = Vec::with_capacity(count);
        for host in &self.hosts {
            names.push(GeneralName::DnsName(text(host)?));
        }
        for mail in &self.mails {
            names.push(GeneralName::Rfc822Name(text(mail)?));
        }
        names.extend(self.addresses.iter().copied().map(GeneralName::from));
        for uri in &self.uris {
            names.push(GeneralName::UniformResourceIdentifier(text(uri)?));
        }
        Ok(names)
    }
}

fn address(bytes: &[u8]) -> Result<IpAddr, Fault> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Ok(IpAddr::from(four));
    }
    let sixteen = <[u8; 16]>::try_from(bytes)
        .map_err(|_| Fault::Invalid("the request has an IP address of neither 4 nor 16 bytes".to_owned()))?;
    Ok(IpAddr::from(sixteen))
}

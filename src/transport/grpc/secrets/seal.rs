//! `stead.secrets.v1.Seal`. Translation only; never keeps a share.

use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::envelope::status;
use crate::base::secret::Secret;
use crate::proto::secrets as wire;
use crate::proto::secrets::seal_server::Seal as Service;
use crate::service::secrets::engine::Fault;
use crate::service::secrets::seal::Share;
use crate::service::secrets::status::{
    AttemptStatus, InitSettings, RekeySettings, Rekeyed, RootMade, SealStatus, Verified,
};
use crate::service::secrets::{Secrets, SecretsError};

/// The front door of the seal.
pub(in super::super) struct SealDoor(pub(in super::super) Secrets);

type Answered<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Service for SealDoor {
    async fn status(&self, _: Request<wire::SealStatusRequest>) -> Answered<wire::SealStatus> {
        told(self.0.status().await, seal_status)
    }

    async fn initialize(
        &self,
        request: Request<wire::InitializeRequest>,
    ) -> Answered<wire::InitializeResponse> {
        let wire::InitializeRequest { shares, threshold } = request.into_inner();
        let settings = settings(shares, threshold)?;
        told(self.0.initialize(settings).await, |made| {
            wire::InitializeResponse {
                shares: bytes(&made.shares),
                root_token: made.root_token.expose().clone(),
            }
        })
    }

    async fn unseal(&self, request: Request<wire::UnsealRequest>) -> Answered<wire::SealStatus> {
        let share = share(&request.into_inner().share)?;
        told(self.0.unseal(share).await, seal_status)
    }

    async fn reset(&self, _: Request<wire::ResetRequest>) -> Answered<wire::SealStatus> {
        told(self.0.reset_unsealing().await, seal_status)
    }

    async fn rekey_status(&self, _: Request<wire::RekeyStatusRequest>) -> Answered<wire::AttemptStatus> {
        told(self.0.rekeying().await, attempt)
    }

    async fn begin_rekey(&self, request: Request<wire::BeginRekeyRequest>) -> Answered<wire::AttemptStatus> {
        let request = request.into_inner();
        let settings = RekeySettings {
            new: settings(request.shares, request.threshold)?,
            requires_verification: request.requires_verification,
        };
        told(self.0.begin_rekeying(settings).await, attempt)
    }

    async fn offer_to_rekey(&self, request: Request<wire::OfferRequest>) -> Answered<wire::RekeyResponse> {
        let (share, nonce) = offer(&request.into_inner())?;
        told(self.0.offer_to_rekeying(share, nonce).await, |made| match made {
            Rekeyed::Waiting(waiting) => wire::RekeyResponse {
                waiting: Some(attempt(waiting)),
                ..wire::RekeyResponse::default()
            },
            Rekeyed::Done {
                shares, verification, ..
            } => wire::RekeyResponse {
                shares: bytes(&shares),
                verification_nonce: written(verification),
                waiting: None,
            },
        })
    }

    async fn rekey_verification_status(
        &self,
        _: Request<wire::RekeyVerificationStatusRequest>,
    ) -> Answered<wire::AttemptStatus> {
        told(self.0.verifying().await, attempt)
    }

    async fn verify_rekey(
        &self,
        request: Request<wire::OfferRequest>,
    ) -> Answered<wire::VerifyRekeyResponse> {
        let (share, nonce) = offer(&request.into_inner())?;
        told(self.0.verify(share, nonce).await, |verified| {
            wire::VerifyRekeyResponse {
                waiting: match verified {
                    Verified::Waiting(waiting) => Some(attempt(waiting)),
                    Verified::Done { .. } => None,
                },
            }
        })
    }

    async fn restart_rekey_verification(
        &self,
        _: Request<wire::RestartRekeyVerificationRequest>,
    ) -> Answered<wire::AttemptStatus> {
        told(self.0.restart_verifying().await, attempt)
    }

    async fn cancel_rekey(
        &self,
        _: Request<wire::CancelRekeyRequest>,
    ) -> Answered<wire::CancelRekeyResponse> {
        told(self.0.cancel_rekeying().await, |()| wire::CancelRekeyResponse {})
    }

    async fn root_status(&self, _: Request<wire::RootStatusRequest>) -> Answered<wire::AttemptStatus> {
        told(self.0.making_root().await, attempt)
    }

    async fn begin_root(&self, request: Request<wire::BeginRootRequest>) -> Answered<wire::AttemptStatus> {
        let password = Secret::new(request.into_inner().password);
        told(self.0.begin_making_root(password).await, attempt)
    }

    async fn offer_to_root(&self, request: Request<wire::OfferRequest>) -> Answered<wire::RootResponse> {
        let (share, nonce) = offer(&request.into_inner())?;
        told(
            self.0.offer_to_making_root(share, nonce).await,
            |made| match made {
                RootMade::Waiting(waiting) => wire::RootResponse {
                    waiting: Some(attempt(waiting)),
                    ..wire::RootResponse::default()
                },
                RootMade::Done { encoded, .. } => wire::RootResponse {
                    encoded: encoded.expose().clone(),
                    ..wire::RootResponse::default()
                },
            },
        )
    }

    async fn cancel_root(&self, _: Request<wire::CancelRootRequest>) -> Answered<wire::CancelRootResponse> {
        told(
            self.0.cancel_making_root().await,
            |()| wire::CancelRootResponse {},
        )
    }
}

fn told<T, W>(answer: Result<T, SecretsError>, translate: impl FnOnce(T) -> W) -> Answered<W> {
    match answer {
        Ok(answer) => Ok(Response::new(translate(answer))),
        Err(error) => Err(status(&error)),
    }
}

fn invalid(text: &str) -> Status {
    status(&Fault::Invalid(text.to_owned()).into())
}

fn settings(shares: u32, threshold: u32) -> Result<InitSettings, Status> {
    let number = |number: u32| u8::try_from(number).map_err(|_| invalid("there can be 255 shares at most"));
    Ok(InitSettings {
        shares: number(shares)?,
        threshold: number(threshold)?,
    })
}

fn share(bytes: &[u8]) -> Result<Share, Status> {
    Share::new(bytes).map_err(|error| status(&error.into()))
}

fn offer(request: &wire::OfferRequest) -> Result<(Share, Uuid), Status> {
    let nonce = Uuid::parse_str(&request.nonce);
    let nonce = nonce.map_err(|_| invalid("the nonce is none; give that of the attempt"))?;
    Ok((share(&request.share)?, nonce))
}

fn bytes(shares: &[Share]) -> Vec<bytes::Bytes> {
    let copied = shares.iter().map(|share| share.expose().to_vec().into());
    copied.collect()
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn written(nonce: Option<Uuid>) -> String {
    nonce.map(|nonce| nonce.to_string()).unwrap_or_default()
}

fn seal_status(status: SealStatus) -> wire::SealStatus {
    let seals = status.seals.into_iter().map(|(id, kind)| wire::SealKind {
        id,
        kind: kind.name().to_owned(),
    });
    wire::SealStatus {
        is_initialized: status.is_initialized,
        is_sealed: status.is_sealed,
        threshold: status.threshold.into(),
        shares: status.shares.into(),
        given: number(status.given),
        nonce: written(status.nonce),
        seals: seals.collect(),
    }
}

fn attempt(status: AttemptStatus) -> wire::AttemptStatus {
    wire::AttemptStatus {
        is_started: status.is_started,
        nonce: written(status.nonce),
        given: number(status.given),
        needed: status.needed.into(),
        new_shares: status.new_shares.map_or(0, |new| new.shares.into()),
        new_threshold: status.new_shares.map_or(0, |new| new.threshold.into()),
        password_length: number(status.password_length),
        requires_verification: status.requires_verification,
        verification_nonce: written(status.verification),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_shares_and_offers_that_cannot_be_are_refused_without_repeating_a_share() {
        for (shares, threshold) in [(256, 1), (5, 300)] {
            let refused = settings(shares, threshold).unwrap_err();
            assert_eq!(refused.code(), tonic::Code::InvalidArgument);
        }
        let hunter = wire::OfferRequest {
            share: bytes::Bytes::from_static(b"hunter2"),
            nonce: Uuid::nil().to_string(),
        };
        let refused = offer(&hunter).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
        assert!(!refused.message().contains("hunter2"), "{refused}");
        let nameless = wire::OfferRequest {
            share: vec![1; 32].into(),
            nonce: "1".to_owned(),
        };
        assert!(offer(&nameless).unwrap_err().message().contains("nonce"));
    }
}

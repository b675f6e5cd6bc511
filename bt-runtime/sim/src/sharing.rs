//! Who gets how much of which access link: weighted max-min fair shares with caps, kept up to date as transfers
//! begin and end.

"""Saliency maps: placeholder of this commit, drawn in the next."""

import streamlit as st

st.title("Saliency")

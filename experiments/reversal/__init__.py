"""The reversal curse, measured: who was taught that A is B, does it know what B is?"""
